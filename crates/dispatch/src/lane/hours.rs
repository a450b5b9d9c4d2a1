//! The hours of a lane, with their last answer: surveys ask for every lane.

use std::cell::Cell;
use std::sync::Arc;

use herald_core::subscription::hours::ActiveHours;

const MINUTE: i64 = 60_000_000;

#[derive(Debug, Clone)]
pub struct Hours {
    pub hours: Arc<ActiveHours>,
    /// From when to when the answer holds, and until when it is closed.
    answer: Cell<(i64, i64, Option<i64>)>,
}

impl Hours {
    pub fn new(hours: Arc<ActiveHours>) -> Self {
        Self {
            hours,
            answer: Cell::new((0, 0, None)),
        }
    }

    /// Returns until when nothing is sent; `None` if something may be sent now.
    pub fn closed_until(&self, now: i64) -> Option<i64> {
        let (from, to, answer) = self.answer.get();
        if (from..to).contains(&now) {
            return answer;
        }
        let answer = self.hours.closed_until(now);
        // Hours begin and end on the minute.
        let to = answer.unwrap_or(now.saturating_add(MINUTE - now.rem_euclid(MINUTE)));
        self.answer.set((now, to, answer));
        answer
    }
}
