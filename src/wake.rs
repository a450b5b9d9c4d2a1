//! Wakes the worker when a transaction that wrote events commits.
//!
//! A lost wake-up costs latency only: the worker also looks every `herald.poll_interval`. `COMMIT PREPARED` never wakes
//! it: only the session that prepared the transaction knew of the events.

use crate::pg::{ending, shmem};

/// Wakes this database's worker when the current transaction commits; does nothing if it rolls back.
pub fn at_commit() {
    if shmem::registry().is_some() {
        ending::on_commit(now);
    }
}

fn now() {
    if let Some(entry) = shmem::own_entry() {
        entry.wake();
    }
}
