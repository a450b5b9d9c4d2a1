//! Leaving out of a schedule what its failure does not need.

use crate::run::{Report, play};
use crate::schedule::Schedule;
use crate::story::Story;

/// Drops steps, in chunks and then one by one, as long as something is still wrong. Returns what is left, and what is wrong
/// with it. It is asked each time whether it may go on.
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

/// The time that the steps took stays.
fn without(schedule: &Schedule, at: usize, count: usize) -> Schedule {
    let mut shorter = schedule.clone();
    let end = (at + count).min(shorter.steps.len());
    let gap: i64 = shorter.steps.drain(at..end).map(|step| step.gap).sum();
    if let Some(next) = shorter.steps.get_mut(at) {
        next.gap += gap;
    }
    shorter
}
