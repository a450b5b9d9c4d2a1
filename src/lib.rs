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
mod store;
mod vault;
mod verify;
mod wake;
mod worker;

use pgrx::prelude::*;

pgrx::pg_module_magic!(name, version);

// The order of the SQL files; a file may use everything in those before it.
extension_sql_file!("../sql/01_log.sql", name = "01_log", bootstrap);
extension_sql_file!(
    "../sql/02_tables.sql",
    name = "02_tables",
    requires = ["01_log"]
);
extension_sql_file!(
    "../sql/02_changes.sql",
    name = "02_changes",
    requires = ["02_tables"]
);
extension_sql_file!(
    "../sql/02_tenant.sql",
    name = "02_tenant",
    requires = ["02_changes"]
);
extension_sql_file!(
    "../sql/03_watch.sql",
    name = "03_watch",
    requires = ["02_tenant", capture::capture]
);
extension_sql_file!(
    "../sql/03_expressions.sql",
    name = "03_expressions",
    requires = ["03_watch"]
);
extension_sql_file!(
    "../sql/03_triggers.sql",
    name = "03_triggers",
    requires = ["03_expressions"]
);
extension_sql_file!(
    "../sql/03_follow_ddl.sql",
    name = "03_follow_ddl",
    requires = ["03_triggers"]
);
extension_sql_file!(
    "../sql/04_secret.sql",
    name = "04_secret",
    requires = ["03_follow_ddl"]
);
extension_sql_file!(
    "../sql/04_options.sql",
    name = "04_options",
    requires = ["04_secret"]
);
extension_sql_file!(
    "../sql/04_subscribe.sql",
    name = "04_subscribe",
    requires = ["04_options"]
);
extension_sql_file!(
    "../sql/04_values.sql",
    name = "04_values",
    requires = ["04_subscribe"]
);
extension_sql_file!(
    "../sql/04_save_subscription.sql",
    name = "04_save_subscription",
    requires = ["04_values"]
);
extension_sql_file!(
    "../sql/05_delivery.sql",
    name = "05_delivery",
    requires = ["04_save_subscription"]
);
extension_sql_file!(
    "../sql/05_bury.sql",
    name = "05_bury",
    requires = ["05_delivery"]
);
extension_sql_file!(
    "../sql/06_find.sql",
    name = "06_find",
    requires = ["05_bury"]
);
extension_sql_file!(
    "../sql/06_redeliver.sql",
    name = "06_redeliver",
    requires = ["06_find"]
);
extension_sql_file!(
    "../sql/06_retry.sql",
    name = "06_retry",
    requires = ["06_redeliver"]
);
extension_sql_file!(
    "../sql/06_replay.sql",
    name = "06_replay",
    requires = ["06_retry"]
);
extension_sql_file!(
    "../sql/06_subscription.sql",
    name = "06_subscription",
    requires = ["06_replay"]
);
extension_sql_file!(
    "../sql/06_try.sql",
    name = "06_try",
    requires = ["06_subscription"]
);
extension_sql_file!(
    "../sql/06_wait.sql",
    name = "06_wait",
    requires = ["06_try"]
);
extension_sql_file!(
    "../sql/06_apply.sql",
    name = "06_apply",
    requires = ["06_wait"]
);
extension_sql_file!(
    "../sql/06_publication.sql",
    name = "06_publication",
    requires = ["06_apply"]
);
extension_sql_file!(
    "../sql/07_insight.sql",
    name = "07_insight",
    requires = ["06_publication"]
);
extension_sql_file!(
    "../sql/07_subscription.sql",
    name = "07_subscription",
    requires = ["07_insight"]
);
extension_sql_file!(
    "../sql/07_lock.sql",
    name = "07_lock",
    requires = ["07_subscription"]
);
extension_sql_file!("../sql/07_why.sql", name = "07_why", requires = ["07_lock"]);
extension_sql_file!(
    "../sql/07_doctor.sql",
    name = "07_doctor",
    requires = ["07_why"]
);
extension_sql_file!(
    "../sql/07_doctor_flow.sql",
    name = "07_doctor_flow",
    requires = ["07_doctor"]
);
extension_sql_file!(
    "../sql/08_worker.sql",
    name = "08_worker",
    requires = ["07_doctor_flow"]
);
extension_sql_file!(
    "../sql/09_house.sql",
    name = "09_house",
    requires = ["08_worker"]
);
extension_sql_file!(
    "../sql/09_audit.sql",
    name = "09_audit",
    requires = ["09_house"]
);
extension_sql_file!(
    "../sql/09_access.sql",
    name = "09_access",
    requires = ["09_audit"]
);
extension_sql_file!(
    "../sql/10_comments.sql",
    name = "10_comments",
    requires = ["09_access"]
);
extension_sql_file!("../sql/11_privileges.sql", name = "11_privileges", finalize);

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
