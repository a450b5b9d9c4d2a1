//! Troubles: they make statements of the worker fail, and slow them down.

use std::collections::BTreeMap;

use fastrand::Rng;
use herald_dispatch::failure::{Failure, Fault};

use crate::database::rows::Key;
use crate::deed::Statement;

/// How long a statement takes without troubles, in microseconds.
const QUICK: std::ops::Range<i64> = 100..900;

#[derive(Debug, Default)]
pub struct Troubles {
    failing: BTreeMap<Statement, (Fault, i64)>,
    slow: Option<(i64, i64)>,
    /// Rows that other sessions have locked, and until when.
    locks: BTreeMap<Key, i64>,
    /// When the last trouble ended or will end.
    pub until: i64,
}

impl Troubles {
    pub fn fail(&mut self, with: Statement, fault: Fault, until: i64) {
        self.failing.insert(with, (fault, until));
        self.until = self.until.max(until);
    }

    pub fn slow_down(&mut self, times: i64, until: i64) {
        self.slow = Some((times, until));
        self.until = self.until.max(until);
    }

    pub fn lock(&mut self, key: Key, until: i64) {
        self.locks.insert(key, until);
        self.until = self.until.max(until);
    }

    pub fn is_locked(&self, key: Key, elapsed: i64) -> bool {
        self.locks.get(&key).is_some_and(|until| elapsed < *until)
    }

    pub fn has_locks(&self) -> bool {
        !self.locks.is_empty()
    }

    /// Ends all troubles.
    pub fn end(&mut self, elapsed: i64) {
        self.failing.clear();
        self.locks.clear();
        self.slow = None;
        self.until = self.until.min(elapsed);
    }

    /// Returns why such a statement fails now, if it does.
    pub fn failure(&self, statement: Statement, elapsed: i64) -> Option<Failure> {
        let (fault, until) = self.failing.get(&statement)?;
        (elapsed < *until).then(|| Failure {
            fault: *fault,
            words: format!("{statement:?} is in trouble"),
            damage: None,
        })
    }

    /// Returns how long a statement takes now, in microseconds.
    pub fn cost(&self, dice: &mut Rng, elapsed: i64) -> i64 {
        let times = match self.slow {
            Some((times, until)) if elapsed < until => times,
            _ => 1,
        };
        dice.i64(QUICK) * times
    }
}
