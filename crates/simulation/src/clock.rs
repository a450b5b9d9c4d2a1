//! Virtual time, which moves only when it is spent.

use std::time::Duration;

use herald_dispatch::time::{Moment, Now};

/// A day in 2026 at which every run begins, in microseconds since 1970.
const BEGINNING: i64 = 1_780_000_000_000_000;

/// Microseconds since the run began, and how far the time of day was set since.
#[derive(Debug, Default, Clone, Copy)]
pub struct Clock {
    pub elapsed: i64,
    set_by: i64,
}

impl Clock {
    /// Returns the time of day in microseconds since 1970.
    pub fn wall(&self) -> i64 {
        BEGINNING + self.elapsed + self.set_by
    }

    /// Returns the time for a worker that started at `started`.
    pub fn now_since(&self, started: i64) -> Now {
        Now {
            micros: self.wall(),
            moment: Moment::after_start(micros(self.elapsed - started)),
        }
    }

    pub fn spend(&mut self, micros: i64) {
        self.elapsed += micros;
    }

    pub fn forward_to(&mut self, elapsed: i64) {
        self.elapsed = self.elapsed.max(elapsed);
    }

    /// Sets the time of day forward or back.
    pub fn set(&mut self, by: i64) {
        self.set_by += by;
    }
}

pub fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}

pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
