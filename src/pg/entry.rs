//! The entry points that PostgreSQL finds by name. Each calls into its room and does nothing else.

use pgrx::prelude::*;

/// The launcher, one for the cluster.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_herald_launcher_main(_argument: pg_sys::Datum) {
    crate::launcher::run();
}

/// The worker of one database, whose oid is the argument.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_herald_worker_main(argument: pg_sys::Datum) {
    crate::dispatch::run(pg_sys::Oid::from(argument.value() as u32));
}
