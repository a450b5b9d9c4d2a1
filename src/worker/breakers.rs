//! What breakers and probes showed, until that is on record: the last word on each breaker, and how long each receiver was
//! up and down.

use crate::pg::process;
use crate::store;
use herald_dispatch::effects::{Probed, Turned};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Breakers {
    unnoted: BTreeMap<i64, Turned>,
    /// How long receivers were up and down.
    uptime: BTreeMap<i64, (Duration, Duration)>,
    failed_at: Option<Instant>,
}

impl Breakers {
    pub fn push(&mut self, turned: Turned) {
        self.unnoted.insert(turned.subscription, turned);
    }

    pub fn probed(&mut self, probed: Probed) {
        let (up, down) = self.uptime.entry(probed.subscription).or_default();
        *(if probed.is_up { up } else { down }) += probed.lasted;
    }

    /// Notes all of them. If that fails, because of a lock or a full disk, they are noted with the next ones, or in a
    /// later turn.
    pub fn note(&mut self) {
        let is_empty = self.unnoted.is_empty() && self.uptime.is_empty();
        let rests = self.failed_at.is_some_and(|at| at.elapsed() < PAUSE);
        if is_empty || rests || process::stop_requested() {
            return;
        }
        let turned: Vec<&Turned> = self.unnoted.values().collect();
        match store::note_breakers(&turned, &self.uptime) {
            Ok(()) => {
                self.unnoted.clear();
                self.uptime.clear();
                self.failed_at = None;
            }
            Err(error) => {
                if self.failed_at.replace(Instant::now()).is_none() {
                    pgrx::log!("pg_herald: breakers cannot be written down: {error:?}; retrying");
                }
            }
        }
    }
}
