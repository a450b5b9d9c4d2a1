//! The launcher: keeps one worker for each database that has the extension.
//!
//! It cannot look into databases. At its start it starts a worker in each; without the extension, the worker exits at
//! once. Later it does so for each new database, as CREATE DATABASE copies the extension of its template. It learns of
//! other databases when CREATE EXTENSION commits.
//!
//! A worker that died on its own took the whole server down with it. The more deaths in a row, the later the next
//! worker starts, unless a user asks for it.

use crate::life::{self, Death};
use crate::pg::shmem::{self, Demand, Entry, Registry};
use crate::pg::transaction::TransactionError;
use crate::pg::{databases, process, wait};
use pgrx::pg_sys;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The names in `pg_stat_activity.backend_type`.
pub const LAUNCHER: &str = "pg_herald launcher";
pub const WORKER: &str = "pg_herald worker";

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A worker that ends restarts after a second. Each further end in a row doubles the delay, up to a minute.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Starts {
    last: Option<Instant>,
    in_a_row: u32,
    logged_no_slot: bool,
    logged_delay: bool,
}

impl Starts {
    /// Starts this database's worker, unless it must wait. Returns the time until the next look at it.
    fn start_if_due(&mut self, entry: &Entry, database: pg_sys::Oid) -> Duration {
        if entry.take_asked(database) {
            *self = Self {
                logged_no_slot: self.logged_no_slot,
                ..Self::default()
            };
        } else if self.last.is_none()
            && let Some(wait) = self.wait_after_death(database)
        {
            return wait;
        }
        let since = self.last.map_or(Duration::MAX, |last| last.elapsed());
        if since > 2 * LONGEST_DELAY {
            self.in_a_row = 0;
        }
        let delay = (FIRST_DELAY * 2u32.pow(self.in_a_row.min(6))).min(LONGEST_DELAY);
        if since < delay {
            return delay - since;
        }
        self.start(entry, database);
        delay
    }

    /// Returns how long this database's worker must not start yet, because the last ones died on their own. Only a
    /// launcher that has not started it yet needs to ask: a later death would have ended the launcher, too.
    fn wait_after_death(&mut self, database: pg_sys::Oid) -> Option<Duration> {
        let now = chrono::Utc::now().timestamp_micros();
        let death = life::last_death(database, now)?;
        let wait = death.starts_at?.saturating_sub(now);
        if wait <= 0 {
            return None;
        }
        if !self.logged_delay {
            self.logged_delay = true;
            log_delay(database, &death, wait);
        }
        Some(Duration::from_micros(wait.unsigned_abs()))
    }

    fn start(&mut self, entry: &Entry, database: pg_sys::Oid) {
        self.last = Some(Instant::now());
        let is_started = start_worker(database);
        entry.note_no_slot(!is_started);
        if is_started {
            self.in_a_row += 1;
            self.logged_no_slot = false;
        } else if !self.logged_no_slot {
            self.logged_no_slot = true;
            pgrx::log!(
                "pg_herald: no background worker slot is free for database {}; raise max_worker_processes",
                database.to_u32()
            );
        }
    }
}

fn log_delay(database: pg_sys::Oid, death: &Death, wait: i64) {
    let place = death
        .place
        .map_or(String::new(), |place| format!(", at {place}"));
    pgrx::log!(
        "pg_herald: the worker of database {} died {} times in a row, the last time in the step \"{}\" with {} deliveries under way{place}; it \
         starts again in {} s, or by herald.start_worker()",
        database.to_u32(),
        death.deaths,
        death.step,
        death.deliveries,
        wait / 1_000_000 + 1,
    );
}

/// The main function of the launcher.
pub fn run() {
    process::take_signals();
    process::connect_to_shared_catalogs();
    let Some(registry) = shmem::registry() else {
        return;
    };
    life::watch_launcher();
    registry.register_launcher();
    registry.note_new_database();
    let mut known: HashSet<u32> = HashSet::new();
    let mut starts: HashMap<u32, Starts> = HashMap::new();
    while !process::stop_requested() {
        if process::reload_configuration_if_asked() {
            // A worker that could not start with the old settings may start at once.
            starts.clear();
        }
        let next = look_for_new(registry, &mut known)
            .and_then(|()| start_missing(registry, &mut starts))
            .unwrap_or_else(|error| {
                registry.note_new_database();
                pgrx::log!("pg_herald: the launcher cannot read the list of databases: {error}");
                LOOK_EVERY
            });
        wait::wait_for_latch(next);
    }
    // Exit with a code other than 0: a terminated launcher is restarted, unless the server is stopping.
    process::exit_to_be_restarted();
}

/// Wants a worker for each database that is new since the last look. Skips those with an entry: their worker may have
/// been stopped on purpose.
fn look_for_new(registry: &Registry, known: &mut HashSet<u32>) -> Result<(), TransactionError> {
    if !registry.take_new_database() {
        return Ok(());
    }
    let connectable = databases::connectable()?;
    for database in &connectable {
        if !known.contains(&database.to_u32()) && registry.find(*database).is_none() {
            registry.demand(*database, Demand::Wanted);
        }
    }
    *known = connectable
        .iter()
        .map(|database| database.to_u32())
        .collect();
    Ok(())
}

/// Starts the wanted workers that do not run. Returns the time until the next look.
fn start_missing(
    registry: &Registry,
    starts: &mut HashMap<u32, Starts>,
) -> Result<Duration, TransactionError> {
    let mut next = LOOK_EVERY;
    // A worker that found no extension released its entry: a later start is not a restart.
    starts.retain(|database, _| registry.find(pg_sys::Oid::from(*database)).is_some());
    let missing: Vec<(&Entry, pg_sys::Oid)> = registry
        .entries()
        .filter(|entry| entry.pid().is_none())
        .map(|entry| (entry, entry.database()))
        .collect();
    if missing.is_empty() {
        return Ok(next);
    }
    let connectable = databases::connectable()?;
    for (entry, database) in missing {
        if !connectable.contains(&database) {
            entry.release(database);
            life::forget(database);
            starts.remove(&database.to_u32());
        } else if entry.is_wanted() {
            let start = starts.entry(database.to_u32()).or_default();
            next = next.min(start.start_if_due(entry, database));
        }
    }
    Ok(next)
}

/// Starts the worker of one database. Returns false if no process slot is free.
pub fn start_worker(database: pg_sys::Oid) -> bool {
    process::start_worker(WORKER, WORKER, "pg_herald_worker_main", database)
}

/// Registers the launcher; called while the library is preloaded.
pub fn register() {
    process::register_launcher(LAUNCHER, "pg_herald_launcher_main");
}
