//! pg_herald: reliable, signed webhooks from inside PostgreSQL.
//!
//! The stages of the pipeline, in the order in which an event passes through them:
//!
//! 1. [`capture`]: a statement on a watched table becomes events, in the user's transaction;
//! 2. [`log`]: appends to the event log, and reads it in windows between two snapshots;
//! 3. [`worker`]: the process in which `herald-dispatch` decides what to read, match, send and record next;
//! 4. [`store`]: what the worker reads and writes, above all [`store::record`]: attempts, pending deliveries, dead
//!    letters and closed windows, in one transaction.
//!
//! Beside them, [`launcher`] keeps a worker for each database, [`life`] notes what a worker is doing, [`wake`] wakes it
//! at commit, [`settings`] defines the configuration parameters, [`vault`] holds the keys that seal secrets, [`api`]
//! and [`compile`] are SQL functions written in Rust, and [`failpoint`] is for trials. [`pg`] is the fence around all
//! unsafe code. Pure decisions live in `herald-core` and `herald-dispatch`, sending in `herald-sender`.
#![deny(unsafe_code)]

mod api;
mod capture;
mod compile;
mod ddl;
mod deaths;
mod errors;
mod failpoint;
mod launcher;
mod life;
mod log;
mod matching;
mod options;
#[allow(unsafe_code)]
mod pg;
mod ping;
mod prepared;
mod preview;
mod settings;
mod sql;
mod store;
mod unseen;
mod vault;
mod verify;
mod wake;
mod worker;

use pgrx::prelude::*;

pgrx::pg_module_magic!(name, version);

/// The version of this library; the extension in the database must have the same.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Called once when the library is loaded: by the postmaster at its start, or by the first session that uses it.
#[pg_guard]
#[allow(unsafe_code)]
pub extern "C-unwind" fn _PG_init() {
    pg::backtrace::switch_off();
    if pg::identity::is_binary_upgrade() {
        return;
    }
    settings::define();
    pg::entry::register(pg::entry::Processes {
        launcher: launcher::run,
        worker: worker::run,
        #[cfg(any(test, feature = "pg_test"))]
        contract: in_postgres::contract::play,
    });
    if pg::identity::is_preloading() {
        pg::shmem::request();
        pg::mailbox::request();
        launcher::register();
        ddl::watch_commands();
    }
}

#[cfg(any(test, feature = "pg_test"))]
#[path = "../pgrx-tests/mod.rs"]
mod in_postgres;

/// The settings that `cargo pgrx test` asks for.
#[cfg(test)]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![
            "shared_preload_libraries = 'pg_herald'",
            "max_prepared_transactions = 10",
            // Keeps asynchronous commits unflushed while a test looks at them.
            "wal_writer_delay = 10s",
        ]
    }
}
