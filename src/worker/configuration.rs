//! Settings that change while the worker runs.
//!
//! A reload brings those of the configuration file. The threads cannot adopt new ones, so the worker restarts for
//! these.

use super::Worker;
use crate::pg::process;
use crate::settings::Settings;
use herald_dispatch::ledger::MEMORY;
use herald_dispatch::mind;

/// Returns the settings that dispatch uses.
pub fn of_dispatch(settings: &Settings) -> mind::Settings {
    mind::Settings {
        is_enabled: settings.enabled,
        always_pending: settings.always_pending,
        poll_interval: settings.poll_interval,
        threads: settings.sending.threads,
        memory: MEMORY,
    }
}

impl Worker {
    /// Adopts the current settings.
    pub(super) fn reload_settings(&mut self) {
        match Settings::read() {
            Ok(settings) if settings.sending != self.sending => {
                let why = "its connection settings changed";
                self.mind.start_again(why, &mut self.effects);
            }
            Ok(settings) => {
                self.mind.take_settings(of_dispatch(&settings));
                self.report_state();
            }
            Err(message) => pgrx::warning!("pg_herald: settings are not taken over: {message}"),
        }
    }

    /// Shows in `pg_stat_activity` what the worker does.
    pub(super) fn report_state(&self) {
        process::report_activity(if self.mind.settings.is_enabled {
            "waiting for events"
        } else {
            "herald.enabled is off"
        });
    }
}
