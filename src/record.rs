//! Step 4: what became of deliveries, written down in one transaction: attempts, pending, dead letters, windows.
//!
//! Its commit may be lost in a crash: the deliveries are then made again. It must never be split so that a window is
//! closed before its records, and one record that cannot be written must not keep the others from being written.

mod careful;
mod locked;
mod write;

pub use careful::{record as record_around_locks, record_again};
#[cfg(any(test, feature = "pg_test"))]
pub use write::ATTEMPT;

use crate::dispatch::work::Claimed;
use crate::log::read::Ring;
use crate::pg::transaction::{Fault, TransactionError};
use herald_core::outcome::Outcome;
use herald_core::retry::DeadReason;
use herald_core::tenants::{Tenants, Usage};
use std::collections::HashMap;
use std::sync::Arc;

/// How a delivery goes on.
#[derive(Debug, Clone)]
pub enum End {
    Delivered,
    /// It stands in `herald.pending` from now on.
    Pending {
        at_micros: i64,
        step: u32,
    },
    Dead(DeadReason),
}

/// What is to be written of one delivery.
#[derive(Debug, Clone)]
pub struct Record {
    pub work: Claimed,
    /// The attempt that was made, if one was: when it started, and its outcome.
    pub attempt: Option<(i64, Outcome)>,
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

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.closed_windows.is_empty()
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Recorded {
    pub written: Vec<Record>,
    pub closed_windows: Vec<Closed>,
    /// What was added to the accounts of tenants.
    pub usage: Vec<(Arc<str>, Usage)>,
    /// Another session's lock held these up. They can be tried again at any time.
    pub set_aside: Vec<Record>,
    /// Why `left` was not written. Nothing is wrong with the records.
    pub error: Option<TransactionError>,
    pub left: Vec<Record>,
}

/// Writes the batch, in one transaction if that can be done.
///
/// Where a record cannot be written, because PostgreSQL refuses a value in it or another session holds a lock, the
/// others are written without it, and its window stays open.
pub fn record(batch: Batch, ring: Ring, tenants: &Tenants) -> Recorded {
    let Batch {
        records,
        closed_windows,
    } = batch;
    match write::patiently(&records, &closed_windows, ring, tenants) {
        Ok(usage) => Recorded {
            written: records,
            closed_windows,
            usage,
            ..Recorded::default()
        },
        Err(error) if error.fault() == Fault::Server => Recorded {
            left: records,
            error: Some(error),
            ..Recorded::default()
        },
        Err(_) => careful::record(
            Batch {
                records,
                closed_windows,
            },
            ring,
            tenants,
            true,
        ),
    }
}

/// What these records add to the accounts of tenants.
fn usage_of(records: &[&Record], tenants: &Tenants) -> Vec<(Arc<str>, Usage)> {
    if tenants.is_empty() {
        return Vec::new();
    }
    let mut usage: HashMap<&Arc<str>, Usage> = HashMap::new();
    for Record { work, attempt, end } in records {
        let Some(tenant) = work.agent.tenant.as_ref() else {
            continue;
        };
        if !work.is_metered() || !tenants.has_account(tenant) {
            continue;
        }
        let used = usage.entry(tenant).or_default();
        used.events += i64::from(attempt.is_some() && work.attempts == 1);
        used.attempts += i64::from(attempt.is_some());
        used.delivered += i64::from(matches!(end, End::Delivered));
        used.dead += i64::from(matches!(end, End::Dead(_)));
    }
    usage
        .into_iter()
        .filter(|(_, used)| *used != Usage::default())
        .map(|(tenant, used)| (Arc::clone(tenant), used))
        .collect()
}
