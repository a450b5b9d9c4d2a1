//! A survey of all lanes together.
//!
//! With thousands of subscriptions, looking at every lane takes longer than a turn. So a survey answers all questions
//! at once, and not in every turn: its answers may be a little old.

use crate::lanes::entry::{Entry, Share};

#[derive(Debug, Default)]
pub struct Survey {
    /// A delivery waits in a lane for its turn, and not for a receiver that takes nothing.
    pub any_flowing: bool,
    /// The reader has to wait for a lane.
    pub any_full: bool,
    /// A lane has nothing to do.
    pub any_idle: bool,
    /// A lane that was busy a moment ago has run empty.
    pub any_starving: bool,
    /// A lane has deliveries of windows that have waited for long.
    pub any_slow: bool,
    /// A lane has to spill.
    pub any_to_spill: bool,
    /// When the first lane that may send has a pending delivery to claim.
    pub first_due: Option<i64>,
}

impl Survey {
    pub fn of<'e>(entries: impl Iterator<Item = &'e Entry>, share: Share, now: i64) -> Self {
        let mut survey = Self::default();
        for entry in entries {
            let lane = &entry.lane;
            survey.any_idle |= lane.is_idle();
            survey.any_starving |= lane.is_starving(now);
            if let Some(due) = entry.due(share, now) {
                survey.first_due = Some(survey.first_due.map_or(due, |first| first.min(due)));
            }
            if lane.is_empty() {
                continue;
            }
            survey.any_flowing |= lane.is_flowing(now);
            survey.any_full |= lane.is_full();
            survey.any_slow |= lane.is_slow(now) && !lane.is_spilled();
            survey.any_to_spill |= lane.must_spill(now);
        }
        survey
    }
}
