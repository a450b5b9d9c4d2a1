//! What keeps a worker from its work: a copy of a database must not send what the original sends.

use crate::pg::{process, shmem, wait};
use crate::store::hold_reason;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Waits until nothing holds the worker. Returns false if it was asked to stop meanwhile, or cannot continue.
pub fn wait_until_free() -> bool {
    let mut said = None;
    loop {
        match hold_reason() {
            Ok(None) => return true,
            Ok(reason) if reason == said => {}
            Ok(reason) => {
                let words = reason.as_deref().unwrap_or_default();
                process::report_activity(&format!("paused: {words}"));
                pgrx::warning!(
                    "pg_herald: nothing is sent from this database: {words}; see: select * from herald.doctor()"
                );
                said = reason;
            }
            Err(error) => {
                pgrx::log!("pg_herald: the worker cannot start: {error}");
                return false;
            }
        }
        let entry = shmem::own_entry();
        wait::wait_for_latch(LOOK_EVERY);
        if let Some(entry) = entry {
            entry.look();
            if !entry.is_wanted() {
                return false;
            }
        }
        if process::stop_requested() {
            return false;
        }
        process::reload_configuration_if_asked();
    }
}
