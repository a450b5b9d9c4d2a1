//! Shrinks a schedule to what its failure needs.

use crate::run::{Report, play};
use crate::schedule::Schedule;
use crate::story::Story;

/// Drops steps, in chunks and then one by one, while the schedule still fails. Returns the remaining schedule and its
/// report. Asks `may_go_on` before each try.
pub fn shrink(schedule: &Schedule, mut may_go_on: impl FnMut() -> bool) -> (Schedule, Report) {
    let mut least = schedule.clone();
    let mut report = play(&least, Story::default());
    let mut chunk = least.steps.len() / 2;
    while chunk > 0 {
        let (mut at, mut has_shrunk) = (0, false);
        while at < least.steps.len() && may_go_on() {
            let shorter = without(&least, at, chunk);
            let tried = play(&shorter, Story::default());
            if tried.fault.is_some() {
                (least, report, has_shrunk) = (shorter, tried, true);
            } else {
                at += chunk;
            }
        }
        if !has_shrunk || chunk > 1 {
            chunk /= 2;
        }
    }
    (least, report)
}

/// Returns the schedule without these steps; the time that they took stays.
fn without(schedule: &Schedule, at: usize, count: usize) -> Schedule {
    let mut shorter = schedule.clone();
    let end = (at + count).min(shorter.steps.len());
    let gap: i64 = shorter.steps.drain(at..end).map(|step| step.gap).sum();
    if let Some(next) = shorter.steps.get_mut(at) {
        next.gap += gap;
    }
    shorter
}
