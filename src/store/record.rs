//! Step 4: records the fate of deliveries in one transaction: attempts, pending, dead letters, windows.
//!
//! A crash may lose its commit: the deliveries are then made again. A window must never be closed before its records
//! are written, and one record that cannot be written must not keep the others from being written.

mod attempts;
mod careful;
mod locked;
mod write;

#[cfg(any(test, feature = "pg_test"))]
pub use attempts::ATTEMPT;

use crate::pg::transaction::Fault;
use herald_dispatch::log::Ring;
use herald_dispatch::record::Batch;
use herald_dispatch::store::{Effort, Recorded};
use herald_dispatch::tenants::Tenants;

/// Writes the batch with this effort.
pub fn record(batch: Batch, effort: Effort, ring: Ring, tenants: &Tenants) -> Recorded {
    match effort {
        Effort::Whole => whole(batch, ring, tenants),
        Effort::AroundLocks => careful::record(batch, ring, tenants, true),
        Effort::Again(alone) => careful::record_again(batch, ring, tenants, alone),
        Effort::Last => careful::record_last(batch, ring, tenants),
    }
}

/// Writes the batch, in one transaction if possible.
///
/// If a record cannot be written, because PostgreSQL refuses a value in it or another session holds a lock, the others
/// are written without it, and its window stays open.
fn whole(batch: Batch, ring: Ring, tenants: &Tenants) -> Recorded {
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
            failure: Some(error.into()),
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
