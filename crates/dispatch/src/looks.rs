//! When the log is looked at again.

use std::time::Duration;

use crate::time::{Moment, Now};

/// While deliveries wait for their turn, looks at the log take a quarter of the time, at most: after a look there is
/// none for so many times as long as it took. Each that finds something costs a transaction, and a look a commit would
/// keep the lanes waiting for it. Those that wait for a receiver which takes nothing do not count: their healthy neighbours
/// would wait as well.
const LOOK_GAP: u32 = 3;
/// However long a look took: one that was slow because the machine is busy, or waited for a lock, must not keep what is
/// committed next waiting for three times as long.
const LONGEST_LOOK_GAP: Duration = Duration::from_millis(25);
/// Where there is no subscription at all.
const IDLE_LOOK_GAP: Duration = Duration::from_millis(200);

/// The last look, and whether there is reason for another.
#[derive(Debug)]
pub struct Looks {
    /// There may be something new in the log, or the last look left something.
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

/// Who waits for what a look finds.
#[derive(Debug, Clone, Copy)]
pub struct Interest {
    /// There is no subscription at all.
    pub is_nobody_there: bool,
    /// Deliveries wait in a lane whose receiver takes them.
    pub any_flowing: bool,
}

impl Looks {
    /// Each `poll_interval` there is a look without being woken, the net under lost wake-ups.
    pub fn want_by_time(&mut self, poll_interval: Duration, now: Now) {
        self.is_wanted |= now.since(self.looked_at) >= poll_interval;
    }

    /// A look ended now and took so long.
    pub fn looked(&mut self, now: Now, took: Duration) {
        self.looked_at = now.moment;
        self.took = took;
    }

    /// How long a look has to wait: for the lanes, or because nobody waits for what it finds.
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
    fn where_nobody_waits_there_are_five_looks_a_second() {
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
