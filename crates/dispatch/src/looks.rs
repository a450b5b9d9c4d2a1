//! Decides when the worker looks at the log again.

use std::time::Duration;

use crate::time::{Moment, Now};

/// While deliveries wait for their turn, looks at the log take at most a quarter of the time: the pause after a look is
/// this many times as long as it took. Each look that finds events costs a transaction, and a look per commit would
/// keep the lanes waiting. Deliveries whose receiver takes nothing do not count: because of them, healthy lanes would
/// wait as well.
const LOOK_GAP: u32 = 3;
/// The longest such pause: after a look that was slow because the machine was busy, or that waited for a lock, new
/// events must not wait three times as long.
const LONGEST_LOOK_GAP: Duration = Duration::from_millis(25);
/// The pause while no subscription exists.
const IDLE_LOOK_GAP: Duration = Duration::from_millis(200);

/// The last look, and whether another is wanted.
#[derive(Debug)]
pub struct Looks {
    /// The log may have new events, or the last look left some.
    pub is_wanted: bool,
    looked_at: Moment,
    took: Duration,
}

/// The first look is wanted at once.
impl Default for Looks {
    fn default() -> Self {
        Self {
            is_wanted: true,
            looked_at: Moment::default(),
            took: Duration::ZERO,
        }
    }
}

/// Reasons to wait before the next look.
#[derive(Debug, Clone, Copy)]
pub struct Interest {
    /// No subscription exists.
    pub is_nobody_there: bool,
    /// Deliveries wait in a lane whose receiver takes them.
    pub any_flowing: bool,
}

impl Looks {
    /// Wants a look every `poll_interval` without being woken, as a safety net for lost wake-ups.
    pub fn want_by_time(&mut self, poll_interval: Duration, now: Now) {
        self.is_wanted |= now.since(self.looked_at) >= poll_interval;
    }

    /// Notes that a look ended now, and how long it took.
    pub fn looked(&mut self, now: Now, took: Duration) {
        self.looked_at = now.moment;
        self.took = took;
    }

    /// Returns how long the next look has to wait: for the lanes, or because no subscription exists.
    pub fn gap(&self, interest: Interest, now: Now) -> Duration {
        let gap = if interest.is_nobody_there {
            IDLE_LOOK_GAP
        } else if interest.any_flowing {
            (self.took * LOOK_GAP).min(LONGEST_LOOK_GAP)
        } else {
            Duration::ZERO
        };
        gap.saturating_sub(now.since(self.looked_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn gap_after(took: u64, interest: Interest) -> u128 {
        let mut looks = Looks::default();
        looks.looked(at(100), Duration::from_millis(took));
        looks.gap(interest, at(101)).as_millis()
    }

    #[test]
    fn looks_take_a_quarter_of_the_time_while_lanes_flow_and_never_make_others_wait_long() {
        let flowing = |any_flowing| Interest {
            is_nobody_there: false,
            any_flowing,
        };
        assert_eq!(gap_after(4, flowing(true)), 11);
        assert_eq!(gap_after(400, flowing(true)), 24);
        assert_eq!(gap_after(400, flowing(false)), 0);
    }

    #[test]
    fn without_subscriptions_the_worker_looks_five_times_per_second() {
        let nobody = Interest {
            is_nobody_there: true,
            any_flowing: false,
        };
        assert_eq!(gap_after(1, nobody), 199);
    }

    #[test]
    fn there_is_a_look_each_poll_interval_without_being_woken() {
        let mut looks = Looks::default();
        let interval = Duration::from_millis(500);
        looks.is_wanted = false;
        looks.looked(at(100), Duration::ZERO);
        looks.want_by_time(interval, at(599));
        assert!(!looks.is_wanted);
        looks.want_by_time(interval, at(600));
        assert!(looks.is_wanted);
    }
}
