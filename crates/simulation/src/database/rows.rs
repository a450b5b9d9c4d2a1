//! The rows of the modelled tables.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use herald_core::event::Event;
use herald_core::snapshot::Snapshot;
use herald_core::subscription::{State, Subscription};
use herald_dispatch::lane::keys::Rank;
use herald_dispatch::log::Window;
use herald_dispatch::tenants::Quota;

/// A subscription's id and an event's number.
pub type Key = (i64, i64);

#[derive(Debug, Clone)]
pub struct EventRow {
    pub event: Event,
    pub xid: u64,
    /// When it became visible, in the order of commits.
    pub order: u64,
    /// When it became visible, in microseconds since the run began.
    pub committed_at: i64,
    /// The last commit when its number was drawn.
    pub drawn_after: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct PendingRow {
    pub slot: i16,
    pub next_attempt_at: i64,
    pub attempts: u32,
    pub step: u32,
    pub created_at: i64,
    pub spare_until: Option<i64>,
    pub rank: Option<Rank>,
    pub blocks_since: Option<i64>,
    /// When it is to be released.
    pub deliver_at: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
pub struct DeadRow {
    pub reason: &'static str,
    pub attempts: u32,
}

#[derive(Debug, Clone, Copy)]
pub struct AttemptRow {
    pub is_delivered: bool,
    pub number: u32,
}

#[derive(Debug, Clone)]
pub struct WindowRow {
    pub window: Window,
    pub is_closed: bool,
}

#[derive(Debug, Clone)]
pub struct SubscriptionRow {
    pub config: Arc<Subscription>,
    /// The event type that it wants; `None` for all.
    pub wants: Option<u8>,
    pub tenant: Option<Arc<str>>,
    pub is_removed: bool,
    pub created_xid: u64,
    pub created_snapshot: Snapshot,
    pub created_seq: i64,
    pub disabled_xid: Option<u64>,
    /// The commit from which it certainly gets events: its own, or the one that last enabled it again.
    pub certain_from: u64,
    /// The commit with which that ended.
    pub certain_until: u64,
}

impl SubscriptionRow {
    pub fn is_active(&self) -> bool {
        !self.is_removed && self.config.state == State::Active
    }
}

/// A notice that something changed which the worker keeps in memory.
#[derive(Debug, Clone, Copy)]
pub struct Notice {
    pub xid: u64,
    pub about: About,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Subscription(i64),
    Pending(i64),
    Quotas,
}

/// All subscriptions, as of some moment.
pub type Subscriptions = Rc<BTreeMap<i64, Rc<SubscriptionRow>>>;

#[derive(Debug, Default)]
pub struct Tables {
    pub events: BTreeMap<i64, EventRow>,
    pub pending: BTreeMap<Key, PendingRow>,
    pub dead: BTreeMap<Key, DeadRow>,
    pub attempts: BTreeMap<Key, Vec<AttemptRow>>,
    pub windows: BTreeMap<i64, WindowRow>,
    pub subscriptions: Subscriptions,
    pub notices: BTreeMap<u64, Notice>,
    pub quotas: BTreeMap<Arc<str>, Quota>,
    /// The dead letters that hold keys.
    pub blocking: BTreeMap<Key, Rank>,
}

/// The new state of a row; `None` for no row. Attempts are appended, or the last is removed.
#[derive(Debug)]
pub enum Change {
    Event(i64, Option<Box<EventRow>>),
    Pending(Key, Option<PendingRow>),
    Dead(Key, Option<DeadRow>),
    Attempt(Key, Option<AttemptRow>),
    Window(i64, Option<Box<WindowRow>>),
    Subscription(i64, Option<Rc<SubscriptionRow>>),
    Notice(u64, Option<Notice>),
    Quota(Arc<str>, Option<Quota>),
    Blocking(Key, Option<Rank>),
}

impl Tables {
    /// Makes the change. Returns the change that undoes it.
    pub fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Event(seq, row) => {
                let before = put(&mut self.events, seq, row.map(|row| *row));
                Change::Event(seq, before.map(Box::new))
            }
            Change::Pending(key, row) => Change::Pending(key, put(&mut self.pending, key, row)),
            Change::Dead(key, row) => Change::Dead(key, put(&mut self.dead, key, row)),
            Change::Attempt(key, row) => {
                let attempts = self.attempts.entry(key).or_default();
                let undo = match row {
                    Some(row) => {
                        attempts.push(row);
                        None
                    }
                    None => attempts.pop(),
                };
                Change::Attempt(key, undo)
            }
            Change::Window(number, row) => {
                let before = put(&mut self.windows, number, row.map(|row| *row));
                Change::Window(number, before.map(Box::new))
            }
            Change::Subscription(id, row) => {
                let subscriptions = Rc::make_mut(&mut self.subscriptions);
                Change::Subscription(id, put(subscriptions, id, row))
            }
            Change::Notice(id, row) => Change::Notice(id, put(&mut self.notices, id, row)),
            Change::Blocking(key, row) => Change::Blocking(key, put(&mut self.blocking, key, row)),
            Change::Quota(tenant, row) => {
                let before = put(&mut self.quotas, Arc::clone(&tenant), row);
                Change::Quota(tenant, before)
            }
        }
    }

    pub fn is_delivered(&self, key: Key) -> bool {
        let attempts = self.attempts.get(&key);
        attempts.is_some_and(|attempts| attempts.iter().any(|attempt| attempt.is_delivered))
    }

    /// Returns whether the delivery is recorded in any form.
    pub fn is_done(&self, key: Key) -> bool {
        let attempts = self.attempts.get(&key);
        attempts.is_some_and(|attempts| !attempts.is_empty())
            || self.pending.contains_key(&key)
            || self.dead.contains_key(&key)
    }

    /// Returns the pending deliveries of a subscription that follow each other, in order.
    pub fn pending_of_key(&self, id: i64, key: i64) -> Vec<(i64, &PendingRow)> {
        let of_key = self.pending_of(id);
        let of_key = of_key
            .filter_map(|(seq, row)| Some((row.rank.filter(|rank| rank.key == key)?, seq, row)));
        let mut of_key: Vec<(Rank, i64, &PendingRow)> = of_key.collect();
        of_key.sort_by_key(|(rank, ..)| (rank.at, rank.seq));
        of_key.into_iter().map(|(_, seq, row)| (seq, row)).collect()
    }

    /// Returns whether a pending delivery follows another one.
    pub fn follows(&self, id: i64, rank: Rank) -> bool {
        let first = self.pending_of_key(id, rank.key);
        first.first().is_some_and(|(_, row)| {
            row.rank
                .is_some_and(|first| (first.at, first.seq) < (rank.at, rank.seq))
        })
    }

    /// Returns the pending deliveries of a subscription.
    pub fn pending_of(&self, id: i64) -> impl Iterator<Item = (i64, &PendingRow)> {
        let rows = self.pending.range((id, i64::MIN)..=(id, i64::MAX));
        rows.map(|((_, seq), row)| (*seq, row))
    }
}

/// Sets or removes a row. Returns the former row, if any.
fn put<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: Option<V>) -> Option<V> {
    match row {
        Some(row) => rows.insert(key, row),
        None => rows.remove(&key),
    }
}
