//! Commands that a connected worker would be in the way of: the worker is stopped before them and wanted again after.
//!
//! None of them fails because of pg_herald: if the worker does not stop in time, PostgreSQL itself decides.

use crate::pg::utility::{self, Concerned};
use crate::pg::{databases, ending, identity, shmem, wait};
use pgrx::pg_sys;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// PostgreSQL waits as long for other sessions before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static STOPPED: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::InvalidOid) };
}

/// Called once, while the library is preloaded.
pub fn watch_commands() {
    utility::hook(stop_worker);
}

/// Stops the worker of the database that the command concerns. It is wanted again when the transaction ends: then it
/// is known whether the database and the extension are still there, and a worker that finds nothing leaves again.
fn stop_worker(command: &Concerned) {
    let Some(registry) = shmem::registry() else {
        return;
    };
    let database = match command {
        Concerned::Extension => Some(identity::database()),
        Concerned::Database(name) => databases::by_name(name),
    };
    let Some(entry) = database.and_then(|database| registry.find(database)) else {
        return;
    };
    if !entry.is_wanted() {
        return;
    }
    STOPPED.set(entry.database());
    ending::at_transaction_end(want_again);
    entry.want(false);
    let until = Instant::now() + PATIENCE;
    while entry.pid().is_some() && Instant::now() < until {
        wait::wait_for_latch(Duration::from_millis(10));
    }
}

fn want_again() {
    if let Some(registry) = shmem::registry()
        && let Some(entry) = registry.find(STOPPED.get())
    {
        entry.want(true);
        registry.wake_launcher();
    }
}
