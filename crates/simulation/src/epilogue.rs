//! The end of every schedule: once all troubles are over, every delivery has to end, new events have to arrive at once,
//! and an idle worker has to do nothing.

use herald_core::subscription::State;

use crate::clock::{MINUTE, SECOND};
use crate::database::Durability;
use crate::database::rows::Key;
use crate::deed::{Kind, Mood, QuotaWish, When};
use crate::judge::LONGEST_RETRY_AFTER;
use crate::world::World;

/// The time for delivering everything that can be delivered: the longest pause of a step, the longest delay of a retry,
/// the delay that a receiver asked for, and the deliveries themselves.
const DRAIN: i64 = 10 * MINUTE;
/// How long a step may still rest, and a lane be delayed or fed from pending, after nothing is pending any longer.
const SETTLE: i64 = LONGEST_REST + LONGEST_RETRY_AFTER;
/// The time for an event to arrive if nothing else is to be done.
const PROBE: i64 = SECOND;
const PROBE_EACH: i64 = SECOND / 20;
/// The longest delay of a retry, with jitter.
const LONGEST_DELAY: i64 = 33 * SECOND;
const PROBES: u64 = 3;
const IDLE: i64 = 3 * MINUTE;
/// The longest pause of a step, and a little more.
const LONGEST_REST: i64 = MINUTE + 5 * SECOND;
const LOOK_EVERY: i64 = SECOND / 2;
/// The uids of probes are above those of all steps.
const PROBE_UIDS: u64 = 1 << 62;

#[derive(Debug)]
pub struct Epilogue {
    stage: Stage,
    poll_interval: i64,
    turns: i64,
    keeps_paused: bool,
    /// How long the drain took, in microseconds.
    pub drained_in: i64,
}

#[derive(Debug)]
enum Stage {
    Playing,
    Draining {
        since: i64,
        looked_at: i64,
    },
    Settling {
        until: i64,
    },
    Probing {
        round: u64,
        probes: Vec<Key>,
        until: i64,
    },
    /// Receivers refuse new events, and take them at the retry.
    Refusing {
        until: i64,
    },
    Retrying {
        until: i64,
    },
    Idling {
        until: i64,
        turns: i64,
    },
    Over,
}

impl Epilogue {
    pub fn new(poll_interval: i64, keeps_paused: bool) -> Self {
        Self {
            stage: Stage::Playing,
            poll_interval,
            turns: 0,
            keeps_paused,
            drained_in: 0,
        }
    }

    pub fn turned(&mut self) {
        self.turns += 1;
    }

    pub fn is_over(&self, world: &World) -> bool {
        matches!(self.stage, Stage::Over) || world.witness.fault.is_some()
    }

    /// Returns when the next check is due.
    pub fn next_at(&self, world: &World) -> Option<i64> {
        match &self.stage {
            Stage::Playing if world.next_step_at().is_none() => {
                Some(world.troubles.until.max(world.clock.elapsed + 1))
            }
            Stage::Playing => None,
            Stage::Draining { looked_at, .. } => Some(looked_at + LOOK_EVERY),
            Stage::Settling { until }
            | Stage::Probing { until, .. }
            | Stage::Refusing { until }
            | Stage::Retrying { until }
            | Stage::Idling { until, .. } => Some(*until),
            Stage::Over => None,
        }
    }

    /// Moves on to the next stage, if it is time.
    pub fn tick(&mut self, world: &mut World) {
        let now = world.clock.elapsed;
        match &self.stage {
            // Troubles end by themselves.
            Stage::Playing if world.next_step_at().is_none() && now >= world.troubles.until => {
                world.heal(self.keeps_paused);
                self.stage = Stage::Draining {
                    since: now,
                    looked_at: now,
                };
            }
            Stage::Draining { since, looked_at } if now >= *looked_at + LOOK_EVERY => {
                self.drain(world, *since);
            }
            Stage::Settling { until } if now >= *until => self.probe(world, 0),
            Stage::Probing { until, .. } if now >= *until => self.end_probes(world),
            Stage::Refusing { until } if now >= *until => {
                world.set_moods(Mood::Healthy(20_000));
                self.stage = Stage::Retrying {
                    until: now + LONGEST_DELAY + PROBE,
                };
            }
            Stage::Retrying { until } if now >= *until => {
                world.judge_retries();
                self.stage = Stage::Idling {
                    until: now + IDLE,
                    turns: self.turns,
                };
            }
            Stage::Idling { until, turns } if now >= *until => {
                let (turns, most) = (self.turns - *turns, 30 + 6 * IDLE / self.poll_interval);
                if turns > most {
                    world.witness.blame(format!(
                        "an idle worker turned {turns} times, and {most} would do"
                    ));
                }
                world.judge_end();
                self.stage = Stage::Over;
            }
            _ => {}
        }
    }

    /// Checks whether everything has ended, and that it does so in time.
    fn drain(&mut self, world: &mut World, since: i64) {
        let now = world.clock.elapsed;
        if now > since + LONGEST_REST && world.witness.looked_at() < since {
            world
                .witness
                .blame("no look at the log for over a minute, while nothing is wrong");
        }
        let ids: Vec<i64> = world
            .database
            .tables
            .subscriptions
            .keys()
            .copied()
            .collect();
        for id in ids {
            world.skip_letters(id);
        }
        let Some(rest) = world.unfinished() else {
            self.drained_in = now - since;
            self.stage = Stage::Settling {
                until: now + SETTLE + world.witness.late_by,
            };
            return;
        };
        if now > since + DRAIN + world.witness.late_by {
            world.witness.blame(format!("it does not end: {rest}"));
        }
        self.stage = Stage::Draining {
            since,
            looked_at: now,
        };
    }

    /// Judges a round of probes. After the last round, redelivers its probes, and then lets receivers refuse others.
    fn end_probes(&mut self, world: &mut World) {
        let Stage::Probing { round, probes, .. } = &mut self.stage else {
            return;
        };
        let (round, probes) = (*round, std::mem::take(probes));
        world.judge_probes(&probes, round);
        let now = world.clock.elapsed;
        if round + 1 < PROBES {
            self.probe(world, round + 1);
        } else if round + 1 == PROBES {
            for (id, _) in &probes {
                world.send_again(*id, 1, true);
            }
            self.stage = Stage::Probing {
                round: round + 1,
                until: now + world.time_for(&probes),
                probes,
            };
        } else {
            world.set_moods(Mood::Answers(500));
            let probes = world.emit_probes(round + 1);
            self.stage = Stage::Refusing {
                until: now + world.time_for(&probes),
            };
        }
    }

    fn probe(&mut self, world: &mut World, round: u64) {
        let probes = world.emit_probes(round);
        self.stage = Stage::Probing {
            round,
            until: world.clock.elapsed + world.time_for(&probes),
            probes,
        };
    }
}

impl World {
    /// Ends all troubles and all transactions.
    fn heal(&mut self, keeps_paused: bool) {
        self.story
            .tell(&self.clock, || "all troubles are over".into());
        for when in [When::BeforeSnapshot, When::AfterSnapshot] {
            self.act_in_look(when);
        }
        let open = std::mem::take(&mut self.database.sessions.open);
        for (_, open) in open {
            self.commit(open, Durability::Flushed);
        }
        while let Some(open) = self.database.sessions.prepared.pop() {
            self.commit(open, Durability::Flushed);
        }
        self.troubles.end(self.clock.elapsed);
        self.worker.crash_at = None;
        self.worker.is_enabled = true;
        self.worker.always_pending = false;
        self.worker.has_new_settings = true;
        self.database.latch = true;
        let ids: Vec<i64> = self.database.tables.subscriptions.keys().copied().collect();
        for id in ids {
            let row = &self.database.tables.subscriptions[&id];
            if !keeps_paused && row.config.state == State::Paused {
                self.set_state(id, State::Active);
            }
        }
        self.set_moods(Mood::Healthy(20_000));
        let tenants: Vec<u8> = (0..3).collect();
        for tenant in tenants {
            let quota = QuotaWish {
                events: None,
                connections: None,
                rate_limit: None,
                is_blocked: false,
            };
            self.set_quota(tenant, quota);
        }
        self.witness.disturbed(self.clock.elapsed);
    }

    fn set_moods(&mut self, mood: Mood) {
        for id in self.database.tables.subscriptions.keys() {
            self.receivers.set_mood(*id, mood);
        }
    }

    fn judge_retries(&mut self) {
        let subscriptions = self.database.tables.subscriptions.clone();
        for (id, _) in subscriptions.iter().filter(|(_, row)| row.is_active()) {
            if let Some(since) = self.overdue_since(*id)
                && self.clock.elapsed > since + PROBE
            {
                self.witness.blame(format!(
                    "a retry for {id} is late by {} us, while nothing else was to be done",
                    self.clock.elapsed - since
                ));
            }
        }
    }

    /// Returns what is unfinished, if anything.
    fn unfinished(&mut self) -> Option<String> {
        if self.receivers.in_flight() > 0 {
            return Some(format!(
                "{} requests are under way",
                self.receivers.in_flight()
            ));
        }
        for (id, row) in self.database.tables.subscriptions.clone().iter() {
            let is_paused = !row.is_removed && row.config.state == State::Paused;
            let pending = self.database.tables.pending_of(*id).count();
            if pending > 0 && !is_paused {
                return Some(format!("{pending} deliveries are pending for {id}"));
            }
            if row.is_active()
                && let Some(since) = self.waits_since(*id)
            {
                return Some(format!("an event of {since} us was not delivered to {id}"));
            }
        }
        let mut windows = self
            .database
            .tables
            .windows
            .values()
            .filter(|row| !row.is_closed);
        windows
            .next()
            .map(|row| format!("window {} is open", row.window.number))
    }

    /// Emits an event for each subscription that can get it at once.
    fn emit_probes(&mut self, round: u64) -> Vec<Key> {
        const SESSION: u8 = 255;
        let subscriptions = self.database.tables.subscriptions.clone();
        let mut probes = Vec::new();
        for (id, row) in subscriptions.iter() {
            if !row.is_active() || row.may_be_slow() {
                continue;
            }
            let kind = Kind {
                r#type: row.wants.unwrap_or(0),
                tenant: row
                    .tenant
                    .as_deref()
                    .and_then(|name| name.strip_prefix("tenant")?.parse().ok()),
                bytes: 0,
            };
            self.emit(
                SESSION,
                kind,
                PROBE_UIDS + round * 1_000_000 + id.unsigned_abs(),
            );
            probes.push((*id, self.database.sequence.last()));
        }
        if let Some(open) = self.database.sessions.open.remove(&SESSION) {
            self.commit(open, Durability::Flushed);
        }
        probes
    }

    /// Returns how long all deliveries of these may take: many subscriptions share few threads.
    fn time_for(&self, probes: &[Key]) -> i64 {
        let tables = &self.database.tables;
        let events = probes.iter().filter_map(|(_, seq)| tables.events.get(seq));
        let of_one = |event| {
            tables
                .subscriptions
                .values()
                .filter(|row| row.wants(event))
                .count()
        };
        PROBE + events.map(of_one).sum::<usize>() as i64 * PROBE_EACH
    }

    fn judge_probes(&mut self, probes: &[Key], round: u64) {
        for key in probes {
            if round == PROBES && self.database.tables.pending.contains_key(key) {
                self.witness.blame(format!(
                    "event {} was not delivered to {} again in time, while nothing else was to be done",
                    key.1, key.0
                ));
            }
            if !self.database.tables.is_delivered(*key) {
                self.witness.blame(format!(
                    "event {} was not delivered to {} in time, while nothing else was to be done",
                    key.1, key.0
                ));
            }
            if self.witness.spilled.contains(key) {
                self.witness.blame(format!(
                    "event {} went to {} by way of the pending deliveries, while none was pending",
                    key.1, key.0
                ));
            }
        }
    }
}
