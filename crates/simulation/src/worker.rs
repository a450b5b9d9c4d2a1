//! The worker around the real decisions: its waiting and its turns, in virtual time, as `src/worker` does it in a
//! process.

use std::collections::VecDeque;
use std::time::Duration;

use herald_dispatch::deaths::{Legacy, Life, legacy};
use herald_dispatch::effects::Effects;
use herald_dispatch::log::{Ring, Window};
use herald_dispatch::mind::{Mind, Settings};
use herald_dispatch::reader::Reader;
use herald_dispatch::seen::SeenTypes;
use herald_dispatch::suspects::Suspects;
use herald_dispatch::threads::Threads;
use herald_dispatch::time::Now;

use crate::clock::SECOND;
use crate::epilogue::Epilogue;
use crate::schedule::LARGEST_DATA;
use crate::station::Station;
use crate::store::slice::SLICE_BYTES;
use crate::users::PERIOD;
use crate::world::{Shared, World};

/// How long a turn takes besides its statements, in microseconds.
const TURN_COST: i64 = 20;
/// How long a stop waits for requests under way.
const STOP_GRACE: i64 = 2 * SECOND;
/// At most this many turns in a row may do nothing without a pause.
const MOST_IDLE_TURNS: u32 = 50;

/// How a worker's life ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is played, or something is wrong.
    Over,
    /// Another worker starts after this many microseconds.
    Next(i64),
}

/// A worker, from its start to its end.
pub struct Worker<'a> {
    shared: Shared,
    mind: Mind,
    effects: Effects,
    station: Station,
    started: i64,
    epilogue: &'a mut Epilogue,
    idle_turns: u32,
}

impl<'a> Worker<'a> {
    pub fn start(shared: &Shared, station: Station, epilogue: &'a mut Epilogue) -> Self {
        let world = &mut *shared.0.borrow_mut();
        let legacy = world.inherit();
        world.begin_life();
        world.receivers.threads = Threads::pool_size(station.threads);
        let (last, reading) = stored_windows(world);
        let wall = world.clock.wall();
        let reader = Reader::restored(&last, reading, SeenTypes::of([]), wall);
        let settings = settings(world, station);
        world.worker.has_new_settings = false;
        world.database.latch = false;
        world.story.tell(&world.clock, || {
            format!("a worker starts after window {}", last.number)
        });
        Self {
            shared: shared.clone(),
            mind: Mind::new(
                settings,
                reader,
                Ring::changed(PERIOD, None),
                Suspects::new(&legacy),
            ),
            effects: Effects::new(),
            station,
            started: world.clock.elapsed,
            epilogue,
            idle_turns: 0,
        }
    }

    pub fn work(mut self) -> End {
        let (mut has_more, mut survey_gap) = (true, Duration::ZERO);
        loop {
            let pause = match has_more {
                true => Duration::ZERO,
                false => self.mind.pause(&self.shared, survey_gap, self.now()),
            };
            self.wait(pause);
            if let Some(end) = self.ended() {
                return end;
            }
            self.take_settings();
            has_more = self.turn(pause);
            if let Some(end) = self.ended() {
                return end;
            }
            survey_gap = self.survey_if_due();
        }
    }

    fn now(&self) -> Now {
        self.shared.0.borrow().clock.now_since(self.started)
    }

    /// Waits for the latch, an outcome or a time, while everything else goes on.
    fn wait(&mut self, pause: Duration) {
        let world = &mut *self.shared.0.borrow_mut();
        let until = world.clock.elapsed + pause.as_micros() as i64;
        loop {
            world.act();
            self.epilogue.tick(world);
            let outcome_at = world.receivers.next_outcome_at().unwrap_or(i64::MAX);
            let now = world.clock.elapsed;
            let is_awake = std::mem::take(&mut world.database.latch)
                || outcome_at <= now
                || until <= now
                || world.has_crashed()
                || world.worker.stop.is_some();
            if is_awake || self.epilogue.is_over(world) {
                return;
            }
            let others = [world.next_step_at(), self.epilogue.next_at(world)];
            let next = others
                .into_iter()
                .flatten()
                .chain([outcome_at, until])
                .min();
            world.clock.forward_to(next.unwrap_or(until));
        }
    }

    /// Runs one turn: a little of everything. Returns whether more can be done at once.
    fn turn(&mut self, pause: Duration) -> bool {
        let efforts = self.shared.0.borrow().efforts;
        let mut has_more = false;
        for part in self.mind.begin_turn() {
            self.shared.0.borrow_mut().act();
            let now = self.now();
            if !self.mind.is_due(part, &self.shared, now) {
                continue;
            }
            let (mut store, mut courier) = (self.shared.clone(), self.shared.clone());
            let effects = &mut self.effects;
            let result = self.mind.run(part, &mut store, &mut courier, effects, now);
            let now = self.now();
            has_more |= self.mind.finish(part, result, &mut self.effects, now);
            let world = &mut *self.shared.0.borrow_mut();
            if !world.has_crashed() {
                world.see_to(self.effects.drain(..));
            }
            if world.has_crashed() {
                return false;
            }
        }
        let world = &mut *self.shared.0.borrow_mut();
        world.clock.spend(TURN_COST);
        self.epilogue.turned();
        let has_done_nothing = world.efforts == efforts && pause.is_zero();
        self.idle_turns = if has_done_nothing {
            self.idle_turns + 1
        } else {
            0
        };
        if self.idle_turns > MOST_IDLE_TURNS {
            world
                .witness
                .blame("the worker turns without a pause and does nothing");
        }
        let memory = self.mind.memory();
        if memory > most_memory(self.station, world.known.len()) {
            world.witness.blame(format!("{memory} bytes are in memory"));
        }
        world.judge_progress();
        has_more || self.mind.must_record(world.clock.now_since(self.started))
    }

    fn survey_if_due(&mut self) -> Duration {
        let world = &mut *self.shared.0.borrow_mut();
        let began = world.clock.now_since(self.started);
        let gap = self.mind.lanes.until_survey(began);
        if gap.is_zero() {
            self.mind.lanes.take_survey(began.micros);
            world.clock.spend(1 + world.known.len() as i64);
            let now = world.clock.now_since(self.started);
            self.mind.lanes.surveyed(now, now.since(began.moment));
        }
        gap
    }

    fn take_settings(&mut self) {
        let world = &mut *self.shared.0.borrow_mut();
        if std::mem::take(&mut world.worker.has_new_settings) {
            self.mind.take_settings(settings(world, self.station));
        }
    }

    /// Returns how this worker has ended, if it has.
    fn ended(&mut self) -> Option<End> {
        let (is_over, crash, stop) = {
            let world = &mut *self.shared.0.borrow_mut();
            let is_over = self.epilogue.is_over(world);
            (is_over, world.worker.crash.take(), world.worker.stop.take())
        };
        if is_over {
            return Some(End::Over);
        }
        if let Some((found, down_for)) = crash {
            self.shared.0.borrow_mut().crash(found);
            return Some(End::Next(down_for));
        }
        let asked = stop.or(self.mind.ending.map(|_| SECOND))?;
        Some(self.stop(asked))
    }

    /// Waits briefly for requests under way, records them, and leaves the rest to the next worker.
    fn stop(&mut self, down_for: i64) -> End {
        let until = self.shared.0.borrow().clock.elapsed + STOP_GRACE;
        loop {
            {
                let world = &mut *self.shared.0.borrow_mut();
                let Some(at) = world.receivers.next_outcome_at().filter(|at| *at <= until) else {
                    break;
                };
                world.clock.forward_to(at);
            }
            let (now, mut courier) = (self.now(), self.shared.clone());
            self.mind
                .settle_returned(&mut courier, &mut self.effects, now);
        }
        let (now, mut store) = (self.now(), self.shared.clone());
        // Deliveries that are not recorded are made again.
        let _ = self.mind.record_last(&mut store, &mut self.effects, now);
        let world = &mut *self.shared.0.borrow_mut();
        world.receivers.hang_up();
        world
            .story
            .tell(&world.clock, || "the worker has stopped".into());
        End::Next(down_for)
    }
}

impl World {
    fn crash(&mut self, found: f64) {
        self.story
            .tell(&self.clock, || "the server has crashed".into());
        self.receivers.hang_up();
        let gone = self.database.crash(found);
        self.undone(&gone);
    }
}

fn settings(world: &World, station: Station) -> Settings {
    Settings {
        is_enabled: world.worker.is_enabled,
        always_pending: world.worker.always_pending,
        poll_interval: station.poll_interval,
        threads: station.threads,
        memory: station.memory,
    }
}

/// Returns the most memory that a worker may hold: it reads up to its bound, claims and sends up to twice as much, and
/// a look or a round of claims may take its largest size for each subscription.
fn most_memory(station: Station, subscriptions: usize) -> usize {
    let of_one_look = subscriptions * (SLICE_BYTES + 2 * LARGEST_DATA);
    4 * station.memory + 2 * of_one_look
}

/// Returns the last window, and those that were not closed, to be read again.
fn stored_windows(world: &mut World) -> (Window, VecDeque<Window>) {
    let written = world.database.written();
    let again = |window: &Window| {
        let snapshots = (window.from.clone(), window.to.clone());
        let numbers = (window.floor_seq, window.upper_seq);
        let mut recovered = Window::recovered(window.number, snapshots, numbers, written);
        recovered.next_seq = window.next_seq;
        recovered.next_floor_seq = window.next_floor_seq;
        recovered
    };
    let rows = world.database.tables.windows.values();
    let open = rows.clone().filter(|row| !row.is_closed);
    let reading = open.map(|row| again(&row.window)).collect();
    let last = rows.last().map(|row| again(&row.window));
    (last.expect("there is one from the beginning"), reading)
}

impl World {
    /// Returns what the next worker starts with, after the delay of its start.
    fn inherit(&mut self) -> Legacy {
        let wall = self.clock.wall();
        self.file.life.seen_at = wall;
        let legacy = legacy(&self.file.life, wall);
        let delay = (legacy.starts_at - wall).max(0);
        if delay > 0 {
            self.witness.late_by += delay;
            self.be_down_for(delay);
        }
        self.file.life = Life {
            started_at: self.clock.wall(),
            deaths: legacy.deaths,
            suspects: legacy.suspects.clone(),
            poison: legacy.poison.clone(),
            ..Life::default()
        };
        legacy
    }

    /// Lets time pass until the next worker starts, while everything else goes on.
    pub fn be_down_for(&mut self, duration: i64) {
        let until = self.clock.elapsed + duration;
        while let Some(at) = self.next_step_at()
            && at <= until
        {
            self.clock.forward_to(at);
            self.act();
        }
        self.clock.forward_to(until);
        // No worker is running that could crash or stop.
        self.worker.crash = None;
        self.worker.stop = None;
    }
}
