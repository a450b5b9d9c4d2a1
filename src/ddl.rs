//! Commands that a connected worker would be in the way of: the worker is stopped before them and wanted again after.
//!
//! None of them fails because of pg_herald: if the worker does not stop in time, PostgreSQL itself decides.

use crate::pg::utility::{self, Concerned};
use crate::pg::{databases, identity, shmem, wait};
use pgrx::pg_sys;
use std::time::{Duration, Instant};

/// PostgreSQL waits as long for other sessions before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Called once, while the library is preloaded.
pub fn watch_commands() {
    utility::hook(before, after);
}

/// Stops the worker of the database that the command concerns. Returns the database.
fn before(command: &Concerned) -> Option<pg_sys::Oid> {
    let registry = shmem::registry()?;
    let database = match command {
        Concerned::Extension => identity::database(),
        Concerned::Database(name) => databases::by_name(name)?,
    };
    let entry = registry.find(database).filter(|entry| entry.is_wanted() || entry.pid().is_some())?;
    entry.want(false);
    let until = Instant::now() + PATIENCE;
    while entry.pid().is_some() && Instant::now() < until {
        wait::wait_for_latch(Duration::from_millis(10));
    }
    if *command == Concerned::Extension {
        // Whether it is dropped is known when the transaction ends. A worker that finds nothing leaves again.
        shmem::at_transaction_end(|| want_again(identity::database()));
        return None;
    }
    Some(database)
}

/// The command has succeeded or failed. The launcher finds out whether the database is still there.
fn after(database: pg_sys::Oid) {
    want_again(database);
}

fn want_again(database: pg_sys::Oid) {
    if let Some(registry) = shmem::registry()
        && let Some(entry) = registry.find(database)
    {
        entry.want(true);
        registry.wake_launcher();
    }
}
