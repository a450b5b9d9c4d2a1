//! Settings that change while the worker runs.
//!
//! A reload brings those of the configuration file. The threads cannot adopt new ones, so the worker restarts for
//! these.

use crate::pg::process;
use crate::settings::{Sending, Settings};
use herald_dispatch::effects::Effects;
use herald_dispatch::ledger::MEMORY;
use herald_dispatch::mind::{self, Mind};

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

/// Adopts the current settings. `sending` are those that the sender was started with.
pub fn reload(mind: &mut Mind, sending: &Sending, effects: &mut Effects) {
    match Settings::read() {
        Ok(settings) if settings.sending != *sending => {
            mind.start_again("its connection settings changed", effects);
        }
        Ok(settings) => {
            mind.take_settings(of_dispatch(&settings));
            report_state(mind);
        }
        Err(message) => pgrx::warning!("pg_herald: settings are not taken over: {message}"),
    }
}

/// Shows in `pg_stat_activity` what the worker does.
pub fn report_state(mind: &Mind) {
    process::report_activity(if mind.settings.is_enabled {
        "waiting for events"
    } else {
        "herald.enabled is off"
    });
}
