//! Plays a schedule, from its first step to the end of everything.

use crate::clock::SECOND;
use crate::epilogue::Epilogue;
use crate::schedule::Schedule;
use crate::story::Story;
use crate::worker::{End, Worker};
use crate::world::{Shared, World};

/// At most this many workers in a run: each crash and each stop is followed by another.
const MOST_WORKERS: usize = 3_000;

/// The result of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The first fault, if any.
    pub fault: Option<String>,
    pub workers: usize,
    pub events: usize,
    pub attempts: usize,
    /// In virtual time, in microseconds.
    pub lasted: i64,
    pub drained_in: i64,
}

/// Plays a schedule. The same schedule always gives the same report.
pub fn play(schedule: &Schedule, story: Story) -> Report {
    let world = World::new(schedule.seed, schedule.steps.iter().cloned(), story);
    let shared = Shared::new(world);
    let poll_interval = schedule.station.poll_interval.as_micros() as i64;
    let mut epilogue = Epilogue::new(poll_interval, schedule.keeps_paused);
    let mut workers = 0;
    loop {
        workers += 1;
        let worker = Worker::start(&shared, schedule.station, &mut epilogue);
        match worker.work() {
            End::Over => break,
            End::Next(down_for) => shared
                .0
                .borrow_mut()
                .be_down_for(down_for.max(SECOND / 100)),
        }
        if workers == MOST_WORKERS {
            shared
                .0
                .borrow_mut()
                .witness
                .blame("the worker starts again and again");
            break;
        }
    }
    let world = shared.0.borrow();
    let tables = &world.database.tables;
    Report {
        fault: world.witness.fault.clone(),
        workers,
        events: tables.events.len(),
        attempts: tables.attempts.values().map(Vec::len).sum(),
        lasted: world.clock.elapsed,
        drained_in: epilogue.drained_in,
    }
}
