//! The entry points that PostgreSQL finds by name in the library. What they begin is told by `_PG_init`, which runs in every
//! process before: nothing in here knows the rooms above it.

use pgrx::prelude::*;
use std::sync::OnceLock;

/// What a process of ours does.
#[derive(Debug)]
pub struct Processes {
    /// The launcher, one for the cluster.
    pub launcher: fn(),
    /// The worker of one database.
    pub worker: fn(pg_sys::Oid),
    /// The contract of stores, played against ours in a database.
    #[cfg(any(test, feature = "pg_test"))]
    pub contract: fn(pg_sys::Oid),
}

static PROCESSES: OnceLock<Processes> = OnceLock::new();

/// Tells what they do, once.
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

/// The argument is the oid of the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_herald_worker_main(argument: pg_sys::Datum) {
    (processes().worker)(pg_sys::Oid::from(argument.value() as u32));
}

/// The argument is the oid of the database.
#[cfg(any(test, feature = "pg_test"))]
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_herald_contract_main(argument: pg_sys::Datum) {
    (processes().contract)(pg_sys::Oid::from(argument.value() as u32));
}
