//! All lanes, which of them have something to send, and what they have claimed of `herald.pending`.

use super::subscriptions::Subscriptions;
use super::work::Claimed;
use herald_core::lane::Lane;
use std::collections::{HashMap, HashSet, VecDeque};

/// A lane is filled up from the pending deliveries when it holds fewer than this.
pub const REFILL_BELOW: usize = 250;

/// The lanes of all subscriptions.
#[derive(Debug, Default)]
pub struct Lanes {
    by_id: HashMap<i64, Entry>,
    /// Lanes that may have something to send, each once, served in turn.
    ready: VecDeque<i64>,
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
        let all: Vec<i64> = self.by_id.keys().copied().collect();
        all.into_iter().for_each(|id| self.make_ready(id));
        left
    }

    pub fn get(&mut self, id: i64) -> Option<&mut Entry> {
        self.by_id.get_mut(&id)
    }

    pub fn ids(&self) -> Vec<i64> {
        self.by_id.keys().copied().collect()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (i64, &mut Entry)> {
        self.by_id.iter_mut().map(|(id, entry)| (*id, entry))
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

    /// Whether a delivery waits in any lane for its turn, and not for a receiver that takes nothing.
    pub fn any_flowing(&self, now: i64) -> bool {
        self.by_id.values().any(|entry| entry.lane.is_flowing(now))
    }

    /// Whether the reader has to wait for a lane.
    pub fn any_full(&self) -> bool {
        self.by_id.values().any(|entry| entry.lane.is_full())
    }

    /// Whether a lane has nothing to do.
    pub fn any_idle(&self) -> bool {
        self.by_id.values().any(|entry| entry.lane.is_idle())
    }

    /// Whether a lane runs empty that was busy a moment ago.
    pub fn any_starving(&self, now: i64) -> bool {
        self.by_id.values().any(|entry| entry.lane.is_starving(now))
    }

    /// When the first lane that may send has a pending delivery to claim.
    pub fn first_due(&self, now: i64) -> Option<i64> {
        self.by_id
            .values()
            .filter(|entry| entry.lane.len() < REFILL_BELOW)
            .filter_map(|entry| {
                let due = entry.next_due?;
                match entry.lane.delayed_until(now) {
                    Some(until) => Some(due.max(until)),
                    None => (entry.lane.concurrency(now) > 0).then_some(due),
                }
            })
            .min()
    }
}
