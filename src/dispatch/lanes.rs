//! All lanes, which of them have something to send, and what they have claimed of `herald.pending`.

use super::subscriptions::Subscriptions;
use super::work::Claimed;
use herald_core::lane::Lane;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// A lane is filled up from the pending deliveries when it holds fewer than this.
const REFILL_BELOW: usize = 250;
/// After a look at all lanes there is none for so many times as long as it took: thousands of subscriptions may have
/// nothing to do. What something was done with is looked at all the same.
const WALK_GAP: u32 = 30;
/// The same where a pending delivery is due.
const DUE_GAP: u32 = 3;

/// The lanes of all subscriptions.
#[derive(Debug, Default)]
pub struct Lanes {
    by_id: HashMap<i64, Entry>,
    /// Lanes that may have something to send, each once, served in turn.
    ready: VecDeque<i64>,
    /// Lanes that something was done with since the last survey, each once.
    touched: Vec<i64>,
    survey: Survey,
    walked_at: Option<Instant>,
    walk_took: Duration,
}

/// What the worker has to know of all lanes together. Only what time alone changes may be a little late.
#[derive(Debug, Default)]
struct Survey {
    /// Whether a delivery waits in any lane for its turn, and not for a receiver that takes nothing.
    is_any_flowing: bool,
    /// Whether the reader has to wait for a lane.
    is_any_full: bool,
    /// Whether a lane has nothing to do.
    is_any_idle: bool,
    /// Whether a lane runs empty that was busy a moment ago.
    is_any_starving: bool,
    first_due: Option<i64>,
}

impl Survey {
    fn include(&mut self, entry: &Entry, now: i64) {
        self.is_any_flowing |= entry.lane.is_flowing(now);
        self.is_any_full |= entry.lane.is_full();
        self.is_any_idle |= entry.lane.is_idle();
        self.is_any_starving |= entry.lane.is_starving(now);
        self.first_due = earlier(self.first_due, entry.due(now));
    }
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

/// One lane, and what of `herald.pending` concerns it.
#[derive(Debug)]
pub struct Entry {
    pub lane: Lane<Claimed>,
    /// Pending deliveries that are in the lane or being sent, or whose end is not recorded yet.
    pub claimed: HashSet<i64>,
    /// When its first pending delivery that is not claimed is due, as far as known.
    pub next_due: Option<i64>,
    /// Rows that will be in `herald.pending` once the current batch is recorded.
    pub unrecorded: usize,
    is_ready: bool,
    is_touched: bool,
}

impl Entry {
    /// When it may send a pending delivery that is to be claimed for it.
    pub fn due(&self, now: i64) -> Option<i64> {
        let due = self.next_due.filter(|_| self.lane.len() < REFILL_BELOW)?;
        match self.lane.delayed_until(now) {
            Some(until) => Some(due.max(until)),
            None => (self.lane.concurrency(now) > 0).then_some(due),
        }
    }
}

impl Lanes {
    /// Takes over changed subscriptions. Returns the deliveries of lanes that are no more.
    pub fn configure(&mut self, subscriptions: &Subscriptions) -> Vec<Claimed> {
        for one in subscriptions.iter() {
            let concurrency = one.config.max_concurrency;
            let entry = self.by_id.entry(one.config.id).or_insert_with(|| Entry {
                lane: Lane::new(concurrency),
                claimed: HashSet::new(),
                next_due: None,
                unrecorded: 0,
                is_ready: false,
                is_touched: false,
            });
            entry.lane.configure(concurrency, one.is_held());
        }
        let gone: Vec<i64> = self
            .by_id
            .keys()
            .copied()
            .filter(|id| subscriptions.by_id(*id).is_none())
            .collect();
        let mut left = Vec::new();
        for id in gone {
            if let Some(mut entry) = self.by_id.remove(&id) {
                left.extend(entry.lane.spill());
            }
        }
        self.ids().into_iter().for_each(|id| self.make_ready(id));
        self.walked_at = None;
        left
    }

    /// A lane that something is to be done with.
    pub fn get(&mut self, id: i64) -> Option<&mut Entry> {
        let entry = self.by_id.get_mut(&id)?;
        if !entry.is_touched {
            entry.is_touched = true;
            self.touched.push(id);
        }
        Some(entry)
    }

    pub fn peek(&self, id: i64) -> Option<&Entry> {
        self.by_id.get(&id)
    }

    pub fn ids(&self) -> Vec<i64> {
        self.by_id.keys().copied().collect()
    }

    /// Looks at the lanes that something was done with since the last call, or at all of them where that is due.
    /// Returns which.
    pub fn survey(&mut self, now: i64) -> Vec<i64> {
        let touched = std::mem::take(&mut self.touched);
        let is_something_due = self.survey.first_due.is_some_and(|due| due <= now);
        let gap = match is_something_due {
            true => self.walk_took * DUE_GAP,
            false => self.walk_took * WALK_GAP,
        };
        let is_walk_due = self.walked_at.is_none_or(|at| at.elapsed() >= gap);
        let began_at = Instant::now();
        let looked_at = if is_walk_due {
            self.survey = Survey::default();
            self.ids()
        } else {
            touched
        };
        for id in &looked_at {
            if let Some(entry) = self.by_id.get_mut(id) {
                entry.is_touched = false;
                self.survey.include(entry, now);
            }
        }
        if is_walk_due {
            self.walk_took = began_at.elapsed();
            self.walked_at = Some(Instant::now());
        }
        looked_at
    }

    /// Says that the lane may have something to send.
    pub fn make_ready(&mut self, id: i64) {
        if let Some(entry) = self.by_id.get_mut(&id)
            && !entry.is_ready
            && !entry.lane.is_empty()
        {
            entry.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// The next lane in turn that may have something to send.
    pub fn take_ready(&mut self) -> Option<i64> {
        let id = self.ready.pop_front()?;
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.is_ready = false;
        }
        Some(id)
    }

    pub fn is_any_flowing(&self) -> bool {
        self.survey.is_any_flowing
    }

    pub fn is_any_full(&self) -> bool {
        self.survey.is_any_full
    }

    pub fn is_any_idle(&self) -> bool {
        self.survey.is_any_idle
    }

    pub fn is_any_starving(&self) -> bool {
        self.survey.is_any_starving
    }

    /// When the first lane that may send has a pending delivery to claim.
    pub fn first_due(&self, now: i64) -> Option<i64> {
        let touched = self.touched.iter().filter_map(|id| self.by_id.get(id));
        let of_touched = touched.filter_map(|entry| entry.due(now)).min();
        earlier(self.survey.first_due, of_touched)
    }
}
