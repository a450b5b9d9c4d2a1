//! What is recorded: how deliveries ended, and which windows are done with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use herald_core::outcome::Outcome;
use herald_core::retry::DeadReason;

use crate::tenants::{Tenants, Usage};
use crate::work::Delivery;

/// How a delivery goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Delivered,
    /// It stands in `herald.pending` from now on.
    Pending {
        at_micros: i64,
        step: u32,
    },
    Dead(DeadReason),
}

/// One request, and what became of it.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub started_at_micros: i64,
    pub outcome: Outcome,
}

/// What is to be written of one delivery.
#[derive(Debug, Clone)]
pub struct Record {
    pub delivery: Delivery,
    /// The attempt that was made, if one was.
    pub attempt: Option<Attempt>,
    pub end: End,
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Batch {
    pub records: Vec<Record>,
    pub closed_windows: Vec<Closed>,
}

/// The number of a window that is done, and its slot.
pub type Closed = (i64, i16);

/// What is added to the accounts of tenants.
pub type Accounts = Vec<(Arc<str>, Usage)>;

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.closed_windows.is_empty()
    }
}

impl Record {
    /// A delivery that ends without an attempt.
    pub fn unattempted(delivery: Delivery, end: End) -> Self {
        Self {
            delivery,
            attempt: None,
            end,
        }
    }

    /// What its outcome holds in memory beside the delivery, in bytes.
    fn outcome_memory(&self) -> usize {
        let said = self.attempt.as_ref().map_or(0, |attempt| {
            let request = attempt.outcome.request.as_deref().map_or(0, str::len);
            attempt.outcome.response.len() + request
        });
        size_of::<Self>() - size_of::<Delivery>() + said
    }

    /// The tenant whose account it is for.
    pub fn account(&self, tenants: &Tenants) -> Option<&Arc<str>> {
        let tenant = self.delivery.agent.tenant.as_ref()?;
        (self.delivery.is_metered() && tenants.has_account(tenant)).then_some(tenant)
    }

    pub fn is_pending(&self) -> bool {
        matches!(self.end, End::Pending { .. })
    }

    pub fn is_dead(&self) -> bool {
        matches!(self.end, End::Dead(_))
    }

    /// The same without what the receiver said, for a database that refuses that.
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

/// What the outcomes of these hold in memory beside their deliveries, in bytes.
pub fn outcome_memory(records: &[Record]) -> usize {
    records.iter().map(Record::outcome_memory).sum()
}

/// What these records add to the accounts of tenants.
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
