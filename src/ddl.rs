//! Commands that a connected worker would be in the way of: the worker is stopped before them and wanted again after.
//! And those that may bring a database that needs one.
//!
//! None of them fails because of pg_herald: if the worker does not stop in time, PostgreSQL itself decides.

use crate::pg::shmem::{self, Demand};
use crate::pg::utility::{self, Command, Concerned};
use crate::pg::{databases, ending, identity, transaction, wait};
use pgrx::pg_sys;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// PostgreSQL waits as long for other sessions before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static STOPPED: Cell<Option<pg_sys::Oid>> = const { Cell::new(None) };
}

/// Called once, while the library is preloaded.
pub fn watch_commands() {
    utility::hook(before);
}

fn before(command: &Command) {
    if command.may_bring_database {
        ending::on_commit(look_for_new_database);
    }
    if let Some(concerned) = &command.concerned {
        never_fail(|| stop_worker(concerned));
    }
}

/// Runs `body`. A fault of ours is a warning: only what is meant for the session itself, such as a cancel, ends the
/// command.
fn never_fail(body: impl FnOnce()) {
    if let Err(fault) = transaction::subtransaction(body) {
        if fault.is_about_the_session() {
            fault.raise();
        }
        pgrx::warning!("pg_herald: the worker was not stopped before this command: {fault}");
    }
}

fn look_for_new_database() {
    if let Some(registry) = shmem::registry() {
        registry.note_new_database();
        registry.wake_launcher();
    }
}

/// Stops the worker of the database that the command concerns. It is wanted again when the transaction ends: then it
/// is known whether the database and the extension are still there, and a worker that finds nothing leaves again.
fn stop_worker(concerned: &Concerned) {
    let Some(registry) = shmem::registry() else {
        return;
    };
    // Who may not do what the command says will be refused, and must not disturb the worker until then.
    let database = match concerned {
        Concerned::Extension => databases::is_extension_owned().then(identity::database),
        Concerned::Database(name) => {
            databases::by_name(name).filter(|database| databases::is_owned(*database))
        }
    };
    let Some(entry) = database.and_then(|database| registry.find(database)) else {
        return;
    };
    ending::at_transaction_end(over);
    if !entry.is_wanted() {
        return;
    }
    STOPPED.set(database);
    registry.demand(entry.database(), Demand::Stopped);
    let until = Instant::now() + PATIENCE;
    while entry.pid().is_some() && Instant::now() < until {
        wait::wait_for_latch(Duration::from_millis(10));
    }
}

/// Has the launcher start the worker again, or give back the entry of a database that is gone.
fn over() {
    if let Some(registry) = shmem::registry() {
        if let Some(database) = STOPPED.take() {
            registry.demand(database, Demand::Asked);
        }
        registry.wake_launcher();
    }
}
