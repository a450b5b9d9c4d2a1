//! Scheduled deliveries: they wait in `herald.pending` until their time, and are released then.

use std::time::Duration;

use crate::failure::Failure;
use crate::lanes::Lanes;
use crate::store::{Store, Took};
use crate::time::Now;

/// At most this many are released at once.
const AT_ONCE: usize = 500;
/// How soon to try again what could not be released, in microseconds: somebody is about to cancel it.
const AGAIN: i64 = 100_000;

/// When the next one is to be released, as far as known.
#[derive(Debug)]
pub struct Scheduled {
    next_at: Option<i64>,
}

impl Default for Scheduled {
    /// Returns what a worker begins with: it has to look.
    fn default() -> Self {
        Self {
            next_at: Some(i64::MIN),
        }
    }
}

impl Scheduled {
    /// Notes that a delivery is to be released at this time.
    pub fn expect(&mut self, at_micros: i64) {
        self.next_at = Some(self.next_at.map_or(at_micros, |next| next.min(at_micros)));
    }

    /// Notes that others may have scheduled deliveries.
    pub fn look(&mut self) {
        self.next_at = Some(i64::MIN);
    }

    /// Returns how long nothing is to be released, if anything is scheduled.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        let wait = self.next_at?.saturating_sub(now.micros).max(0);
        Some(Duration::from_micros(wait.unsigned_abs()))
    }

    pub fn is_due(&self, now: Now) -> bool {
        self.due_in(now) == Some(Duration::ZERO)
    }

    /// Releases what is due.
    pub fn release(
        &mut self,
        lanes: &mut Lanes,
        store: &mut impl Store,
        now: Now,
    ) -> Result<(), Failure> {
        let Took { result, took } = store.release_scheduled(AT_ONCE);
        let released = result?;
        let now = now.after(took);
        for id in &released.subscriptions {
            if let Some(entry) = lanes.get(*id) {
                entry.claimed_to = None;
                entry.expect_due(now.micros);
            }
        }
        let is_stuck = released.subscriptions.is_empty();
        self.next_at = released.next_at.map(|next| match is_stuck {
            true => next.max(now.micros + AGAIN),
            false => next,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Empty, at};

    fn released(subscriptions: &[i64], next_at: Option<i64>) -> Empty {
        Empty {
            scheduled: (subscriptions.to_vec(), next_at),
            ..Empty::default()
        }
    }

    #[test]
    fn a_worker_looks_once_and_then_waits_for_the_next_one() {
        let (mut scheduled, mut lanes) = (Scheduled::default(), Lanes::default());
        assert!(scheduled.is_due(at(0)));
        let mut store = released(&[], Some(50_000_000));
        scheduled.release(&mut lanes, &mut store, at(0)).unwrap();
        assert!(!scheduled.is_due(at(49_999)) && scheduled.is_due(at(50_000)));
        scheduled.expect(9_000_000);
        assert!(scheduled.is_due(at(9_000)));
        let mut store = released(&[1], None);
        scheduled.release(&mut lanes, &mut store, at(0)).unwrap();
        assert_eq!(scheduled.due_in(at(100_000)), None);
    }

    #[test]
    fn what_somebody_is_about_to_cancel_is_tried_again_soon_and_not_at_once() {
        let (mut scheduled, mut lanes) = (Scheduled::default(), Lanes::default());
        let mut store = released(&[], Some(0));
        scheduled.release(&mut lanes, &mut store, at(5)).unwrap();
        assert!(!scheduled.is_due(at(104)) && scheduled.is_due(at(105)));
    }
}
