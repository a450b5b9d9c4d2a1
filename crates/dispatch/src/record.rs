//! Records: how deliveries ended, and which windows they complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use herald_core::attempt::outcome::Outcome;
use herald_core::attempt::retry::DeadReason;

use crate::lane::keys::Rank;
use crate::tenants::{Tenants, Usage};
use crate::work::Delivery;

/// A batch has at most this many records.
pub const RECORD_SIZE: usize = 100;

/// How a delivery leaves the worker's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Delivered,
    /// It has a row in `herald.pending` from now on.
    Pending {
        at_micros: i64,
        step: u32,
    },
    Dead(DeadReason),
}

/// A request and its outcome.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub started_at_micros: i64,
    pub outcome: Outcome,
}

/// The record to write for a delivery.
#[derive(Debug, Clone)]
pub struct Record {
    pub delivery: Delivery,
    /// The attempt, if any was made.
    pub attempt: Option<Attempt>,
    pub end: End,
}

/// Records that are written together, and the windows that they complete.
#[derive(Debug, Default)]
pub struct Batch {
    pub records: Vec<Record>,
    pub closed_windows: Vec<Closed>,
}

/// The number of a completed window, and its slot.
pub type Closed = (i64, i16);

/// Usage to add to the tenants' accounts.
pub type Accounts = Vec<(Arc<str>, Usage)>;

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.closed_windows.is_empty()
    }
}

impl Record {
    /// Returns the record of a delivery that ends without an attempt.
    pub fn unattempted(delivery: Delivery, end: End) -> Self {
        Self {
            delivery,
            attempt: None,
            end,
        }
    }

    /// Returns the memory that the outcome holds besides the delivery, in bytes.
    fn outcome_memory(&self) -> usize {
        let said = self.attempt.as_ref().map_or(0, |attempt| {
            let request = attempt.outcome.request.as_deref().map_or(0, str::len);
            attempt.outcome.response.len() + request
        });
        size_of::<Self>() - size_of::<Delivery>() + said
    }

    /// Returns the tenant whose account the record counts for.
    pub fn account(&self, tenants: &Tenants) -> Option<&Arc<str>> {
        let tenant = self.delivery.agent.tenant.as_ref()?;
        (self.delivery.is_metered() && tenants.has_account(tenant)).then_some(tenant)
    }

    pub fn is_pending(&self) -> bool {
        matches!(self.end, End::Pending { .. })
    }

    /// Returns its rank if others have to wait until it is on record that it ended, or waits itself.
    pub fn holds_key(&self) -> Option<Rank> {
        self.delivery.rank.filter(|_| self.end != End::Delivered)
    }

    /// Returns whether those behind it wait on when this is on record: until it is tried again, or, if a dead letter
    /// holds them, until somebody sends it again or skips it.
    pub fn blocks_key(&self) -> bool {
        let ordering = self.delivery.subscription.ordering;
        let is_blocking = ordering.is_some_and(|ordering| ordering.dead_blocks);
        let blocks = match self.end {
            End::Delivered => false,
            End::Pending { .. } => true,
            // These end the subscription, not only a delivery.
            End::Dead(DeadReason::Gone | DeadReason::Unsubscribed) => false,
            End::Dead(_) => is_blocking,
        };
        blocks && self.delivery.rank.is_some()
    }

    pub fn is_dead(&self) -> bool {
        matches!(self.end, End::Dead(_))
    }

    /// Returns a copy without the receiver's words, for a database that refuses them.
    pub fn without_words(&self) -> Record {
        let mut record = self.clone();
        if let Some(attempt) = &mut record.attempt {
            attempt.outcome.response.clear();
            attempt.outcome.request = None;
            if let Some((_, words)) = &mut attempt.outcome.error {
                words.clear();
            }
        }
        record
    }
}

/// Returns the memory that the outcomes of these records hold besides their deliveries, in bytes.
pub fn outcome_memory(records: &[Record]) -> usize {
    records.iter().map(Record::outcome_memory).sum()
}

/// Returns the usage that these records add to the tenants' accounts.
pub fn usage_of(records: &[&Record], tenants: &Tenants) -> Accounts {
    if tenants.is_empty() {
        return Vec::new();
    }
    let mut usage: BTreeMap<&Arc<str>, Usage> = BTreeMap::new();
    for record in records {
        let Some(tenant) = record.account(tenants) else {
            continue;
        };
        let is_attempted = record.attempt.is_some();
        let used = usage.entry(tenant).or_default();
        used.events += i64::from(is_attempted && record.delivery.attempts == 1);
        used.attempts += i64::from(is_attempted);
        used.delivered += i64::from(record.end == End::Delivered);
        used.dead += i64::from(record.is_dead());
    }
    usage
        .into_iter()
        .filter(|(_, used)| *used != Usage::default())
        .map(|(tenant, used)| (Arc::clone(tenant), used))
        .collect()
}
