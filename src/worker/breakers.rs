//! Breakers that opened or closed, until that is on record: the last word on each subscription.

use crate::pg::process;
use crate::store;
use herald_dispatch::effects::Turned;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Breakers {
    unnoted: BTreeMap<i64, Turned>,
    failed_at: Option<Instant>,
}

impl Breakers {
    pub fn push(&mut self, turned: Turned) {
        self.unnoted.insert(turned.subscription, turned);
    }

    /// Notes all of them. If that fails, because of a lock or a full disk, they are noted with the next ones, or in a
    /// later turn.
    pub fn note(&mut self) {
        let rests = self.failed_at.is_some_and(|at| at.elapsed() < PAUSE);
        if self.unnoted.is_empty() || rests || process::stop_requested() {
            return;
        }
        let turned: Vec<Turned> = std::mem::take(&mut self.unnoted).into_values().collect();
        match store::note_breakers(&turned) {
            Ok(()) => self.failed_at = None,
            Err(error) => {
                if self.failed_at.replace(Instant::now()).is_none() {
                    pgrx::log!("pg_herald: breakers cannot be written down: {error:?}; retrying");
                }
                self.unnoted = turned
                    .into_iter()
                    .map(|turned| (turned.subscription, turned))
                    .collect();
            }
        }
    }
}
