//! The entry points that PostgreSQL finds by name in the library. `_PG_init`, which runs before them in every process,
//! registers what they call: this module does not know the modules above it.

use pgrx::prelude::*;
use std::sync::OnceLock;

/// The main functions of pg_herald's processes.
#[derive(Debug)]
pub struct Processes {
    /// The launcher, one for the cluster.
    pub launcher: fn(),
    /// The worker of one database.
    pub worker: fn(pg_sys::Oid),
    /// Plays the contract of stores against the real store, in a database.
    #[cfg(any(test, feature = "pg_test"))]
    pub contract: fn(pg_sys::Oid),
}

static PROCESSES: OnceLock<Processes> = OnceLock::new();

/// Registers the main functions, once.
pub fn register(processes: Processes) {
    PROCESSES.get_or_init(|| processes);
}

fn processes() -> &'static Processes {
    PROCESSES.get().expect("_PG_init registers them")
}

#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_herald_launcher_main(_argument: pg_sys::Datum) {
    (processes().launcher)();
}

/// Runs the worker. The argument is the oid of its database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_herald_worker_main(argument: pg_sys::Datum) {
    (processes().worker)(pg_sys::Oid::from(argument.value() as u32));
}

/// Plays the contract. The argument is the oid of the database.
#[cfg(any(test, feature = "pg_test"))]
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_herald_contract_main(argument: pg_sys::Datum) {
    (processes().contract)(pg_sys::Oid::from(argument.value() as u32));
}
