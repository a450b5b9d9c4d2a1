//! After a death of the worker: what it was sending is sent one delivery at a time, and what killed it twice not at all.
//!
//! Without a death there are no suspects, and none of this costs anything. Deliveries that are under no suspicion pass.

use super::work::Claimed;
use super::{Worker, now_micros};
use crate::life;
use crate::record::{End, Record};
use herald_core::deaths::{Legacy, Place};
use herald_core::retry::DeadReason;
use pgrx::pg_sys;
use std::collections::{HashSet, VecDeque};

/// What the last death left.
#[derive(Debug, Default)]
pub struct Suspects {
    suspects: HashSet<Place>,
    poison: HashSet<Place>,
    /// The one that is being sent: its token, and place.
    on_trial: Option<(u64, Place)>,
    /// Those that wait for their turn, out of their lanes.
    aside: VecDeque<Claimed>,
}

/// What may become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    None,
    /// It may be sent now, and no other suspect beside it.
    Tried,
    /// Another one is being sent.
    Waits,
    /// It has killed the worker twice.
    Poison,
}

/// Begins the life of this worker with what the last one left.
pub fn inherit(database: pg_sys::Oid) -> Suspects {
    let legacy = life::begin(database, now_micros()).unwrap_or_else(|error| {
        pgrx::log!("pg_herald: what the worker is at cannot be noted: {error}");
        Legacy::default()
    });
    if let [.., poison] = &legacy.poison[..] {
        pgrx::log!(
            "pg_herald: event {} in slot {} killed the worker twice on its way to subscription {}; it becomes a dead \
             letter with the reason poison",
            poison.seq,
            poison.slot,
            poison.subscription
        );
    }
    if !legacy.suspects.is_empty() {
        pgrx::log!(
            "pg_herald: the last worker died while it sent deliveries; {} of them are sent one at a time",
            legacy.suspects.len()
        );
    }
    Suspects::new(&legacy)
}

impl Suspects {
    fn new(legacy: &Legacy) -> Self {
        Self {
            suspects: legacy.suspects.iter().copied().collect(),
            poison: legacy.poison.iter().copied().collect(),
            ..Self::default()
        }
    }

    pub fn judge(&self, delivery: &Claimed) -> Suspicion {
        if self.suspects.is_empty() && self.poison.is_empty() {
            return Suspicion::None;
        }
        let place = delivery.place();
        if self.poison.contains(&place) {
            Suspicion::Poison
        } else if !self.suspects.contains(&place) {
            Suspicion::None
        } else if self.on_trial.is_some() {
            Suspicion::Waits
        } else {
            Suspicion::Tried
        }
    }

    /// This suspect is being sent.
    pub fn try_one(&mut self, token: u64, place: Place) {
        self.on_trial = Some((token, place));
    }

    /// This one has to wait until the one that is being sent has come back.
    pub fn set_aside(&mut self, delivery: Claimed) {
        self.aside.push_back(delivery);
    }

    /// A request came back, and the worker lives. If it was a suspect's, returns all that wait: the first of them that can
    /// be sent has its turn.
    fn clear(&mut self, token: u64) -> VecDeque<Claimed> {
        let cleared = self.on_trial.take_if(|(on_trial, _)| *on_trial == token);
        let Some((_, place)) = cleared else {
            return VecDeque::new();
        };
        self.suspects.remove(&place);
        self.keep();
        std::mem::take(&mut self.aside)
    }

    /// These are on record: poison that is a dead letter need not be known any more. One that was moved into the pending
    /// deliveries comes back.
    pub fn recorded(&mut self, records: &[Record]) {
        if self.poison.is_empty() {
            return;
        }
        let before = self.poison.len();
        for record in records {
            if matches!(record.end, End::Dead(_)) {
                self.poison.remove(&record.work.place());
            }
        }
        if self.poison.len() < before {
            self.keep();
        }
    }

    fn keep(&self) {
        let places = |places: &HashSet<Place>| places.iter().copied().collect::<Vec<_>>();
        life::keep(&places(&self.suspects), &places(&self.poison));
    }
}

impl Worker {
    /// A request came back: if it was a suspect's, the next one has its turn.
    pub(super) fn clear_suspect(&mut self, token: u64, now: i64) {
        for next in self.suspects.clear(token) {
            let id = next.subscription.id;
            match self.lanes.get(id) {
                Some(entry) => {
                    entry.lane.push(next, now);
                    self.lanes.make_ready(id);
                }
                None => self.settle(Record {
                    work: next,
                    attempt: None,
                    end: End::Dead(DeadReason::Unsubscribed),
                }),
            }
        }
    }
}
