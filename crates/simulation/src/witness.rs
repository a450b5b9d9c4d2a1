//! The witness: remembers all that was sent and recorded, and the first fault.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use herald_dispatch::record::Accounts;
use herald_dispatch::tenants::Quotas;

use crate::clock::SECOND;
use crate::database::rows::Key;

/// An event, by its uid, and a subscription.
pub type Pair = (u64, i64);

#[derive(Debug, Default)]
pub struct Witness {
    /// The first fault.
    pub fault: Option<String>,
    pub life: Life,
    pub pairs: BTreeMap<Pair, Story>,
    pub sent: BTreeSet<u64>,
    /// Deliveries that certainly have to be made and are not recorded, by subscription, with the time of their commit.
    pub open: BTreeMap<i64, BTreeSet<(i64, i64)>>,
    discarded: BTreeSet<i64>,
    /// Subscriptions whose receivers said that they are gone.
    pub gone: BTreeSet<i64>,
    disturbed_at: i64,
    looked_at: i64,
    /// Deliveries that went from a window to pending without an attempt.
    pub spilled: BTreeSet<Key>,
    pub known_quotas: Quotas,
    /// How far the clock was set back in total, plus how long starts were delayed: everything may be late by this.
    pub late_by: i64,
}

/// A worker's actions since it started.
#[derive(Debug, Default)]
pub struct Life {
    pub in_flight: BTreeMap<i64, usize>,
    pub in_flight_of_tenant: BTreeMap<Arc<str>, usize>,
    pub under_way: BTreeSet<Pair>,
    /// Pairs whose success the worker has heard of.
    pub heard: BTreeSet<Pair>,
    /// Until when receivers asked for a delay, by the time of day.
    pub spared: BTreeMap<i64, i64>,
    pub succeeded_at: BTreeMap<i64, i64>,
    /// When requests to subscriptions and of tenants with rates left.
    pub sent_at: BTreeMap<i64, VecDeque<i64>>,
    pub sent_at_of_tenant: BTreeMap<Arc<str>, VecDeque<i64>>,
    /// What the last attempts of subscriptions with breakers showed: whether the receiver is down.
    pub shown: BTreeMap<i64, VecDeque<Shown>>,
    /// Deliveries begun as new in the month, and not recorded.
    pub begun: BTreeMap<Arc<str>, i64>,
    pub progress_at: BTreeMap<i64, i64>,
}

/// What an attempt showed.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    pub at: i64,
    pub is_down: bool,
    /// The generation of the URL.
    pub generation: i32,
}

/// What became of a pair over the whole run.
#[derive(Debug, Default, Clone, Copy)]
pub struct Story {
    pub taken: u32,
    /// A user asked for another delivery.
    pub is_excused: bool,
}

impl Witness {
    pub fn blame(&mut self, fault: impl Into<String>) {
        self.fault.get_or_insert_with(|| fault.into());
    }

    pub fn excuse(&mut self, uid: &str, id: i64) {
        self.pairs.entry((number(uid), id)).or_default().is_excused = true;
    }

    pub fn discarded(&mut self, id: i64) {
        self.discarded.insert(id);
    }

    pub fn was_gone(&self, id: i64) -> bool {
        self.gone.contains(&id)
    }

    pub fn was_discarded(&self, id: i64) -> bool {
        self.discarded.contains(&id)
    }

    /// Notes a disturbance for which everything may have to wait.
    pub fn disturbed(&mut self, elapsed: i64) {
        self.disturbed_at = self.disturbed_at.max(elapsed);
    }

    pub fn disturbed_at(&self) -> i64 {
        self.disturbed_at
    }

    pub fn looked_at(&self) -> i64 {
        self.looked_at
    }

    pub fn looked(&mut self, elapsed: i64) {
        self.looked_at = elapsed;
    }

    pub fn recorded(&mut self, usage: &Accounts) {
        for (tenant, used) in usage {
            let begun = self.life.begun.entry(tenant.clone()).or_default();
            *begun = (*begun - used.events).max(0);
        }
    }

    /// Notes that the worker has read which receivers asked for a delay.
    pub fn read_spared(&mut self, spared: Vec<(i64, i64)>) {
        for (id, until) in spared {
            let known = self.life.spared.entry(id).or_insert(until);
            *known = (*known).max(until);
        }
    }

    /// Returns how often the receiver took the event.
    pub fn taken(&self, uid: &str, id: i64) -> u32 {
        self.pairs
            .get(&(number(uid), id))
            .map_or(0, |pair| pair.taken)
    }

    /// Returns until when its receiver asked for a delay.
    pub fn spared_until(&self, id: i64) -> i64 {
        self.life.spared.get(&id).copied().unwrap_or(i64::MIN)
    }

    pub fn progress_at(&self, id: i64) -> i64 {
        self.life.progress_at.get(&id).copied().unwrap_or(0)
    }

    pub fn succeeded_at(&self, id: i64) -> Option<i64> {
        self.life.succeeded_at.get(&id).copied()
    }
}

/// Returns the number of a uid, as schedules assign it.
pub fn number(uid: &str) -> u64 {
    uid.parse().unwrap_or(u64::MAX)
}

/// How long a delivery may wait while nothing is wrong, in microseconds.
pub const PATIENCE: i64 = 4 * SECOND;
