//! Schedules: the steps that a seed makes.
//!
//! Each seed prefers some kinds of deeds and leaves others out, so that some schedules are full of crashes and others
//! have none.

use std::time::Duration;

use fastrand::Rng;
use herald_core::subscription::breaker::{BreakerPolicy, ProbeWith};
use herald_core::subscription::ordering::{OrderedBy, Ordering};
use herald_dispatch::failure::Fault;
use herald_dispatch::store::Point;

use crate::chance::{self, any_magnitude, dice, one_of};
use crate::clock::{MINUTE, SECOND};
use crate::database::Durability;
use crate::deed::{Deed, Kind, Mood, QuotaWish, Statement, Step, When, Wish};
use crate::station::Station;

const TYPES: u8 = 3;
const TENANTS: u8 = 3;
const SESSIONS: u8 = 5;
/// The largest data of an event, in bytes.
pub const LARGEST_DATA: usize = 1 << 18;
const POINTS: [Point; 7] = [
    Point::AfterRead,
    Point::AfterFlush,
    Point::MidSlice,
    Point::AfterClaim,
    Point::AfterSpill,
    Point::BeforeRecord,
    Point::AfterRecord,
];
const STATEMENTS: [Statement; 10] = [
    Statement::Glimpse,
    Statement::Claim,
    Statement::Record,
    Statement::Forget,
    Statement::Disable,
    Statement::Bury,
    Statement::Shed,
    Statement::House,
    Statement::Configuration,
    Statement::Report,
];

/// A schedule to play.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    pub station: Station,
    pub keeps_paused: bool,
    pub steps: Vec<Step>,
}

/// How often a seed chooses each topic, and with which options.
#[derive(Debug)]
struct Taste {
    weights: Vec<(Topic, u32)>,
    subscriptions: i64,
    longest_gap: i64,
    is_synchronous: bool,
    has_tenants: bool,
    has_rates: bool,
    rate_limits: RateLimits,
    has_breakers: bool,
    has_large_events: bool,
    has_bursts: bool,
}

/// The rates of subscriptions and of plans, per second.
#[derive(Debug, Clone, Copy)]
struct RateLimits {
    own: Option<u32>,
    of_plans: Option<u32>,
}

impl RateLimits {
    /// Draws them separately, so that stored seeds still give the same schedules.
    fn of(seed: u64) -> Self {
        let mut dice = chance::dice(seed, &[0x4a7e]);
        let mut rate = || (dice.u8(..8) == 0).then(|| dice.u32(10..300));
        Self {
            own: rate(),
            of_plans: rate(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Topic {
    Emit,
    Transaction,
    Mood,
    Subscription,
    Pending,
    Trouble,
    Lock,
    Crash,
    Stop,
    Clock,
    Quota,
    Settings,
}

impl Schedule {
    /// Returns the schedule of this seed, always the same.
    pub fn of(seed: u64) -> Self {
        let mut dice = dice(seed, &[0x5c4e_d01e]);
        let dice = &mut dice;
        let station = Station {
            threads: one_of(dice, &[2, 3, 4, 8]),
            poll_interval: Duration::from_millis(one_of(dice, &[1_000, 5_000, 60_000, 60_000])),
            // Drawn separately, so that stored seeds still give the same schedules.
            memory: one_of(&mut chance::dice(seed, &[0x3e30]), &[64 << 20, 1 << 20]),
        };
        // Most are short: they test more in the same time.
        let count = (200.0 * 10_f64.powf(dice.f64().powi(5))) as u64;
        let mut taste = Taste::of(dice, RateLimits::of(seed));
        // Drawn separately, as above.
        let more = &mut chance::dice(seed, &[0xb4ea]);
        taste.has_breakers = more.u8(..6) == 0;
        // So are these.
        let yet_more = &mut chance::dice(seed, &[0x07de]);
        let has_order = yet_more.u8(..4) == 0;
        let mut steps: Vec<Step> = (1..=taste.subscriptions)
            .map(|id| Deed::Subscribe {
                session: 0,
                id,
                wish: Wish {
                    breaker: taste.has_breakers.then(|| breaker(more)),
                    ordering: has_order.then(|| ordering(yet_more)).flatten(),
                    ..taste.wish(dice)
                },
            })
            .chain([commit(0, Durability::Flushed)])
            .map(|deed| Step {
                number: 0,
                gap: 0,
                when: When::Then,
                deed,
            })
            .collect();
        while (steps.len() as u64) < count {
            taste.add(dice, &mut steps);
        }
        for (number, step) in (0..).zip(&mut steps) {
            step.number = number;
        }
        Self {
            seed,
            station,
            keeps_paused: dice.bool(),
            steps,
        }
    }
}

impl Taste {
    fn of(dice: &mut Rng, rate_limits: RateLimits) -> Self {
        let mut weights = vec![(Topic::Emit, 40), (Topic::Transaction, dice.u32(0..30))];
        let others = [
            (Topic::Mood, 10),
            (Topic::Subscription, 5),
            (Topic::Pending, 4),
            (Topic::Trouble, 4),
            (Topic::Lock, 4),
            (Topic::Crash, 3),
            (Topic::Stop, 2),
            (Topic::Clock, 2),
            (Topic::Quota, 3),
            (Topic::Settings, 2),
        ];
        for (topic, most) in others {
            if dice.bool() {
                weights.push((topic, dice.u32(1..=most)));
            }
        }
        Self {
            weights,
            subscriptions: dice.i64(1..=6),
            longest_gap: one_of(dice, &[SECOND / 10, SECOND, 10 * SECOND, 2 * MINUTE]),
            is_synchronous: dice.bool(),
            has_tenants: dice.bool(),
            has_rates: dice.u8(..4) == 0,
            rate_limits,
            has_breakers: false,
            has_large_events: dice.u8(..80) == 0,
            has_bursts: dice.u8(..4) == 0,
        }
    }

    fn topic(&self, dice: &mut Rng) -> Topic {
        let all: u32 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut drawn = dice.u32(..all);
        for (topic, weight) in &self.weights {
            if drawn < *weight {
                return *topic;
            }
            drawn -= weight;
        }
        Topic::Emit
    }

    fn add(&self, dice: &mut Rng, steps: &mut Vec<Step>) {
        let gap = match dice.u8(..10) {
            0..5 => dice.i64(0..1_000),
            5..8 => any_magnitude(dice, 1_000, 100_000),
            8 => any_magnitude(dice, 1_000, SECOND),
            _ => any_magnitude(dice, 1_000, self.longest_gap),
        };
        let topic = self.topic(dice);
        let may_be_in_look = matches!(topic, Topic::Emit | Topic::Transaction);
        let when = match dice.u8(..10) {
            0 if may_be_in_look => When::BeforeSnapshot,
            1 if may_be_in_look => When::AfterSnapshot,
            _ => When::Then,
        };
        for (place, deed) in self.deeds(topic, steps.len(), dice).into_iter().enumerate() {
            steps.push(Step {
                number: 0,
                gap: if place == 0 { gap } else { 0 },
                when,
                deed,
            });
        }
    }

    fn deeds(&self, topic: Topic, step: usize, dice: &mut Rng) -> Vec<Deed> {
        match topic {
            Topic::Emit => {
                // A session that does nothing else.
                let session = SESSIONS + dice.u8(..3);
                vec![
                    self.emit(session, dice),
                    commit(session, self.durability(dice)),
                ]
            }
            Topic::Transaction => vec![self.in_transaction(dice.u8(..SESSIONS), step, dice)],
            Topic::Mood => vec![Deed::Mood {
                id: self.id(dice),
                mood: mood(dice),
            }],
            Topic::Subscription => vec![self.about_subscription(dice)],
            Topic::Pending => vec![self.about_pending(dice)],
            Topic::Trouble => vec![trouble(dice)],
            Topic::Lock => vec![Deed::Lock {
                id: self.id(dice),
                count: dice.usize(1..20),
                lasts: any_magnitude(dice, 10_000, 30 * SECOND),
            }],
            Topic::Crash => vec![crash(dice)],
            Topic::Stop => vec![Deed::Stop {
                down_for: any_magnitude(dice, 1_000, 10 * SECOND),
            }],
            Topic::Clock => vec![Deed::SetClock {
                by: dice.i64(-60..60) * SECOND,
            }],
            Topic::Quota => vec![Deed::SetQuota {
                tenant: dice.u8(..TENANTS),
                quota: QuotaWish {
                    events: dice.bool().then(|| dice.i64(0..200)),
                    connections: dice.bool().then(|| dice.usize(1..4)),
                    rate_limit: self.rate_limits.of_plans,
                    is_blocked: dice.bool(),
                },
            }],
            Topic::Settings => vec![Deed::Settings {
                is_enabled: dice.u8(..4) > 0,
                always_pending: dice.u8(..3) == 0,
            }],
        }
    }

    fn id(&self, dice: &mut Rng) -> i64 {
        dice.i64(1..=self.subscriptions)
    }

    fn durability(&self, dice: &mut Rng) -> Durability {
        if self.is_synchronous || dice.bool() {
            Durability::Flushed
        } else {
            Durability::Asynchronous
        }
    }

    fn emit(&self, session: u8, dice: &mut Rng) -> Deed {
        let is_large = self.has_large_events && dice.u8(..8) == 0;
        Deed::Emit {
            session,
            kind: Kind {
                r#type: dice.u8(..TYPES),
                tenant: (self.has_tenants && dice.bool()).then(|| dice.u8(..TENANTS)),
                bytes: if is_large { LARGEST_DATA } else { 0 },
            },
            count: match dice.u8(..50) {
                0 if !is_large && self.has_bursts => any_magnitude(dice, 10, 300) as u16,
                1..6 => dice.u16(2..6),
                _ => 1,
            },
        }
    }

    fn in_transaction(&self, session: u8, step: usize, dice: &mut Rng) -> Deed {
        match dice.u8(..20) {
            0..8 => self.emit(session, dice),
            8..13 => commit(session, self.durability(dice)),
            13 => Deed::RollBackTo {
                session,
                count: dice.u16(1..5),
            },
            14..16 => Deed::RollBack { session },
            16 => Deed::Prepare { session },
            17 => Deed::EndPrepared {
                is_commit: dice.bool(),
            },
            18 => Deed::Subscribe {
                session,
                // A new id.
                id: 1_000 + step as i64,
                wish: self.wish(dice),
            },
            _ => commit(session, Durability::Flushed),
        }
    }

    fn about_subscription(&self, dice: &mut Rng) -> Deed {
        let id = self.id(dice);
        match dice.u8(..10) {
            0..3 => Deed::Pause { id },
            3..7 => Deed::Resume { id },
            7 => Deed::ChangeUrl { id },
            8 => Deed::ChangeConcurrency {
                id,
                most: dice.i32(1..12),
            },
            _ => Deed::Unsubscribe { id },
        }
    }

    fn about_pending(&self, dice: &mut Rng) -> Deed {
        let (id, last) = (self.id(dice), dice.usize(1..30));
        match dice.u8(..4) {
            0 => Deed::Discard { id },
            1 => Deed::Replay { id, last },
            _ => Deed::Redeliver { id, last },
        }
    }

    fn wish(&self, dice: &mut Rng) -> Wish {
        let steps = dice.usize(1..5);
        Wish {
            wants: dice.bool().then(|| dice.u8(..TYPES)),
            tenant: (self.has_tenants && dice.bool()).then(|| dice.u8(..TENANTS)),
            max_concurrency: one_of(dice, &[1, 2, 5, 10]),
            max_attempts: (dice.u8(..5) == 0).then(|| dice.i32(1..5)),
            retry_schedule: (0..steps)
                .map(|_| any_magnitude(dice, 10_000, 30 * SECOND))
                .collect(),
            timeout: one_of(dice, &[SECOND, 3 * SECOND, 10 * SECOND]),
            max_backlog: (dice.u8(..5) == 0).then(|| dice.i64(1..50)),
            max_age: (dice.u8(..8) == 0).then(|| any_magnitude(dice, SECOND, MINUTE)),
            rate: self.has_rates.then(|| dice.u32(300..3_000)),
            rate_limit: self.rate_limits.own,
            breaker: None,
            ordering: None,
            survives_gone: dice.bool(),
        }
    }
}

fn ordering(dice: &mut Rng) -> Option<Ordering> {
    let by = one_of(
        dice,
        &[
            None,
            Some(OrderedBy::Key),
            Some(OrderedBy::Key),
            Some(OrderedBy::Strict),
        ],
    );
    let max_block = (dice.u8(..4) == 0).then(|| Duration::from_secs(dice.u64(1..60)));
    by.map(|by| Ordering {
        by,
        dead_blocks: dice.u8(..3) == 0,
        max_block,
    })
}

fn breaker(dice: &mut Rng) -> BreakerPolicy {
    BreakerPolicy {
        failures: dice.u32(1..10),
        probe: dice.i64(1..20) * SECOND,
        probe_with: one_of(
            dice,
            &[ProbeWith::Delivery, ProbeWith::Delivery, ProbeWith::Head],
        ),
        ..BreakerPolicy::default()
    }
}

fn commit(session: u8, durability: Durability) -> Deed {
    Deed::Commit {
        session,
        durability,
    }
}

fn mood(dice: &mut Rng) -> Mood {
    match dice.u8(..20) {
        0..6 => Mood::Healthy(any_magnitude(dice, 1_000, 200_000)),
        6 => Mood::Slow(any_magnitude(dice, SECOND, 5 * SECOND)),
        7..10 => Mood::Hangs,
        10..12 => Mood::Resets,
        12..14 => Mood::Answers(one_of(
            dice,
            &[204, 302, 400, 404, 410, 429, 500, 502, 503, 504],
        )),
        14..16 => Mood::Spares(one_of(dice, &[429, 503, 500]), dice.u32(1..30)),
        16..18 => Mood::Flaky(dice.f64()),
        18 if dice.bool() => Mood::Kills,
        18 => Mood::LosesAnswers(dice.f64()),
        _ => Mood::Shortage,
    }
}

fn trouble(dice: &mut Rng) -> Deed {
    if dice.u8(..5) == 0 {
        return Deed::Slowness {
            times: any_magnitude(dice, 5, 500),
            lasts: any_magnitude(dice, SECOND / 10, 10 * SECOND),
        };
    }
    Deed::Trouble {
        with: one_of(dice, &STATEMENTS),
        fault: one_of(dice, &[Fault::Locked, Fault::Other, Fault::Refused]),
        lasts: match dice.u8(..8) {
            0 => any_magnitude(dice, MINUTE, 20 * MINUTE),
            _ => any_magnitude(dice, 1_000, 10 * SECOND),
        },
    }
}

fn crash(dice: &mut Rng) -> Deed {
    let (found, down_for) = (dice.f64(), any_magnitude(dice, 100_000, 10 * SECOND));
    // Often nothing survives that was not flushed.
    let found = if dice.bool() { 0.0 } else { found };
    if dice.bool() {
        Deed::Crash { found, down_for }
    } else {
        Deed::CrashAt {
            point: one_of(dice, &POINTS),
            found,
            down_for,
        }
    }
}
