//! Stops the worker before commands that it would block, and asks for it again afterwards. Also looks out for commands
//! that may create a database that needs a worker.
//!
//! No command fails because of pg_herald: if the worker does not stop in time, PostgreSQL itself decides.

use crate::pg::shmem::{self, Demand};
use crate::pg::utility::{self, Command, Concerned};
use crate::pg::{databases, ending, identity, transaction, wait};
use pgrx::pg_sys;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// PostgreSQL itself waits this long for other sessions before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    static STOPPED: Cell<Option<pg_sys::Oid>> = const { Cell::new(None) };
}

/// Called once, while the library is preloaded.
pub fn watch_commands() {
    utility::hook(before);
}

fn before(command: &Command) {
    if command.may_create_database {
        ending::on_commit(look_for_new_database);
    }
    if let Some(concerned) = &command.concerned {
        never_fail(|| stop_worker(concerned));
    }
}

/// Runs `body`. Turns pg_herald's own errors into a warning: only an error about the session, such as a cancel, ends
/// the command.
fn never_fail(body: impl FnOnce()) {
    if let Err(fault) = transaction::subtransaction(body) {
        if fault.is_session_error() {
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

/// Stops the worker of the database that the command concerns. Asks for it again when the transaction ends: only then
/// is it known whether the database and the extension remain, and a worker without an extension exits.
fn stop_worker(concerned: &Concerned) {
    let Some(registry) = shmem::registry() else {
        return;
    };
    // An unprivileged command must not stop the worker: PostgreSQL refuses it later.
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

/// Makes the launcher start the worker again, or release the entry of a dropped database.
fn over() {
    if let Some(registry) = shmem::registry() {
        if let Some(database) = STOPPED.take() {
            registry.demand(database, Demand::Asked);
        }
        registry.wake_launcher();
    }
}
