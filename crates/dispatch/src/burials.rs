//! Burials: disables the subscriptions of receivers that are gone, and buries the pending deliveries of disabled and
//! removed subscriptions, a slice at a time between deliveries to others.

use std::collections::VecDeque;
use std::time::Duration;

use herald_core::subscription::Subscription;

use crate::effects::Effects;
use crate::ended::{Ended, Gone};
use crate::failure::Failure;
use crate::lanes::Lanes;
use crate::slices::SliceSize;
use crate::store::{Store, Took};
use crate::subscriptions::Subscriptions;
use crate::suspects::Suspects;
use crate::time::{Moment, Now};

/// Deliveries buried at once.
pub const SLICE: SliceSize = SliceSize::new(8, 1, 1_000);
/// Burying takes at most a quarter of the time: the pause after a slice is this many times as long as the slice took.
pub const BURIAL_GAP: u32 = 3;
/// The pause after a round that found everything locked.
const PAUSE: Duration = Duration::from_secs(1);
/// At most this many answers are noted in one turn.
const NOTED_AT_ONCE: usize = 16;

#[derive(Debug)]
pub struct Burials {
    /// Receivers' answers that are not yet recorded.
    unnoted: VecDeque<Gone>,
    /// Subscriptions with deliveries to bury; the next search starts after the id `after`.
    ended: VecDeque<Ended>,
    after: i64,
    /// When the next slice is due, if anything may have to be buried.
    due: Option<Moment>,
    size: SliceSize,
    buried_in_round: usize,
}

impl Default for Burials {
    fn default() -> Self {
        Self {
            unnoted: VecDeque::new(),
            ended: VecDeque::new(),
            after: 0,
            // An earlier worker may have left deliveries to bury.
            due: Some(Moment::default()),
            size: SLICE,
            buried_in_round: 0,
        }
    }
}

impl Burials {
    /// Schedules a slice `after` from now, unless one is already scheduled.
    pub fn expect(&mut self, after: Duration, now: Now) {
        self.due.get_or_insert(now.moment + after);
    }

    pub fn due_in(&self, now: Now) -> Option<Duration> {
        self.due.map(|due| now.until(due))
    }

    pub fn is_due(&self, now: Now) -> bool {
        self.due.is_some_and(|due| now.is_past(due))
    }

    pub fn has_unnoted(&self) -> bool {
        !self.unnoted.is_empty()
    }

    /// Holds the lane of a receiver that is gone, and keeps its answer until it is noted.
    pub fn end_lane(&mut self, lanes: &mut Lanes, gone: &Subscription, reason: String) {
        let Some(entry) = lanes.get(gone.id) else {
            return;
        };
        entry.lane.hold();
        if !entry.is_gone {
            entry.is_gone = true;
            self.unnoted.push_back(Gone {
                subscription: gone.id,
                generation: gone.generation,
                reason,
            });
        }
    }

    /// Disables the subscriptions whose receivers are gone; a locked one waits without delaying others. Returns whether
    /// any was noted.
    pub fn note_gone(
        &mut self,
        lanes: &mut Lanes,
        subscriptions: &mut Subscriptions,
        store: &mut impl Store,
        now: Now,
    ) -> (bool, Result<(), Failure>) {
        let (mut any_noted, mut result) = (false, Ok(()));
        for _ in 0..self.unnoted.len().min(NOTED_AT_ONCE) {
            let Some(gone) = self.unnoted.pop_front() else {
                break;
            };
            match store.disable(&gone) {
                Ok(()) => {
                    if let Some(entry) = lanes.get(gone.subscription) {
                        entry.is_gone = false;
                    }
                    // Reload it, even if the answer was for a former URL and does not count.
                    subscriptions.expire_one(gone.subscription);
                    self.expect(Duration::ZERO, now);
                    any_noted = true;
                }
                Err(failure) => {
                    self.unnoted.push_back(gone);
                    result = Err(failure);
                }
            }
        }
        (any_noted, result)
    }

    /// Buries a slice of the pending deliveries of disabled and removed subscriptions.
    pub fn bury_slice(
        &mut self,
        suspects: &mut Suspects,
        store: &mut impl Store,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), Failure> {
        if self.ended.is_empty() {
            self.ended = store.find_ended(self.after)?;
        }
        let Some(mut ended) = self.ended.pop_front() else {
            self.end_round(now);
            return Ok(());
        };
        let most = self.size.get();
        let Took { result, took } = store.bury(&ended, most);
        self.due = Some(now.after(took).moment + took * BURIAL_GAP);
        let buried = result?;
        if let Some(up_to) = buried.up_to {
            suspects.buried(ended.id, up_to, effects);
        }
        self.buried_in_round += buried.count;
        self.after = self.after.max(ended.id);
        if buried.count > 0 {
            self.size.took(buried.count, took.as_micros() as i64);
        }
        if buried.count == most {
            ended.after_seq = buried.up_to.unwrap_or(ended.after_seq);
            self.ended.push_back(ended);
        }
        Ok(())
    }

    /// Ends a round. The next follows at once, after a pause if everything was locked, or not at all if this one found
    /// nothing.
    fn end_round(&mut self, now: Now) {
        let was_empty = std::mem::take(&mut self.after) == 0;
        let was_in_vain = std::mem::take(&mut self.buried_in_round) == 0;
        self.due = (!was_empty).then(|| {
            let pause = if was_in_vain { PAUSE } else { Duration::ZERO };
            now.moment + pause
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, moment, subscription};

    #[test]
    fn a_round_that_found_everything_locked_is_followed_by_a_pause_and_an_empty_one_by_none() {
        let after_round = |after, buried_in_round| {
            let mut burials = Burials {
                after,
                buried_in_round,
                ..Burials::default()
            };
            burials.end_round(at(0));
            burials.due
        };
        assert_eq!(after_round(7, 3), Some(moment(0)));
        assert_eq!(after_round(7, 0), Some(moment(1_000)));
        assert_eq!(after_round(0, 0), None);
    }

    #[test]
    fn a_receiver_that_is_gone_is_noted_once_and_sent_nothing_any_more() {
        let (mut burials, mut lanes) = (Burials::default(), Lanes::default());
        burials.end_lane(&mut lanes, &subscription(1), "status 410".into());
        assert!(!burials.has_unnoted());
        lanes.configure(&crate::testing::loaded(1), &Default::default());
        for _ in 0..2 {
            burials.end_lane(&mut lanes, &subscription(1), "status 410".into());
        }
        assert_eq!(burials.unnoted.len(), 1);
        let entry = lanes.get(1).unwrap();
        entry.lane.push(crate::testing::delivery(1, 1), 0);
        assert!(entry.lane.take_ready(0).is_none());
    }
}
