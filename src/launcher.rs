//! The launcher: keeps one worker for each database that has the extension.
//!
//! It cannot look into databases. At its start it sends a worker to each, which leaves at once where the extension
//! is not installed, and later to those that CREATE DATABASE brought, as a copy has all that its template has. Other
//! databases it learns of when CREATE EXTENSION commits.
//!
//! A worker that died of itself took the whole server down with it. The more often that happens in a row, the later the
//! next one starts, unless somebody asks for it.

use crate::life::{self, Death};
use crate::pg::shmem::{self, Demand, Registry};
use crate::pg::transaction::TransactionError;
use crate::pg::{databases, process, wait};
use pgrx::pg_sys;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// What `pg_stat_activity.backend_type` shows.
pub const LAUNCHER: &str = "pg_herald launcher";
pub const WORKER: &str = "pg_herald worker";

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A worker that ends is started again after a second, and later the more often it ends, up to a minute.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Starts {
    last: Option<Instant>,
    in_a_row: u32,
    said_no_slot: bool,
    said_delay: bool,
}

impl Starts {
    /// How long the worker of this database does not start yet, because the last ones died of themselves. The launcher
    /// that has started one knows no death: it would have gone down with the server.
    fn wait_after_death(&mut self, database: pg_sys::Oid) -> Option<Duration> {
        let now = chrono::Utc::now().timestamp_micros();
        let death = life::last_death(database, now)?;
        let wait = death.starts_at?.saturating_sub(now);
        if wait <= 0 {
            return None;
        }
        if !self.said_delay {
            self.said_delay = true;
            say_delay(database, &death, wait);
        }
        Some(Duration::from_micros(wait.unsigned_abs()))
    }
}

fn say_delay(database: pg_sys::Oid, death: &Death, wait: i64) {
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
            // A worker that could not start with the former settings need not wait any more.
            starts.clear();
        }
        let next = look_for_new(registry, &mut known)
            .and_then(|()| start_missing(registry, &mut starts))
            .unwrap_or_else(|error| {
                registry.note_new_database();
                pgrx::log!("pg_herald: the launcher could not look at the databases: {error}");
                LOOK_EVERY
            });
        wait::wait_for_latch(next);
    }
    // Any other code than 0: whoever terminated the launcher gets a new one, unless the server is stopping.
    process::exit_to_be_restarted();
}

/// Wants a worker for each database that was not there at the last look. One that has an entry is known to others:
/// its worker may have been stopped on purpose.
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

/// Starts the workers that are wanted and do not run. Returns when to look again.
fn start_missing(
    registry: &Registry,
    starts: &mut HashMap<u32, Starts>,
) -> Result<Duration, TransactionError> {
    let mut next = LOOK_EVERY;
    // A worker that found no extension gave its entry back: a later one is a new start, not a restart.
    starts.retain(|database, _| registry.find(pg_sys::Oid::from(*database)).is_some());
    let missing: Vec<(&shmem::Entry, pg_sys::Oid)> = registry
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
            continue;
        }
        if !entry.is_wanted() {
            continue;
        }
        let start = starts.entry(database.to_u32()).or_default();
        if entry.take_asked(database) {
            *start = Starts {
                said_no_slot: start.said_no_slot,
                ..Starts::default()
            };
        } else if start.last.is_none()
            && let Some(wait) = start.wait_after_death(database)
        {
            next = next.min(wait);
            continue;
        }
        let since = start.last.map_or(Duration::MAX, |last| last.elapsed());
        if since > 2 * LONGEST_DELAY {
            start.in_a_row = 0;
        }
        let delay = (FIRST_DELAY * 2u32.pow(start.in_a_row.min(6))).min(LONGEST_DELAY);
        if since < delay {
            next = next.min(delay - since);
            continue;
        }
        next = next.min(delay);
        start.last = Some(Instant::now());
        let is_started = start_worker(database);
        entry.note_no_slot(!is_started);
        if is_started {
            start.in_a_row += 1;
            start.said_no_slot = false;
        } else if !start.said_no_slot {
            start.said_no_slot = true;
            pgrx::log!(
                "pg_herald: no background worker slot is free for database {}; raise max_worker_processes",
                database.to_u32()
            );
        }
    }
    Ok(next)
}

/// Starts the worker of one database. Returns false when no process slot is free.
pub fn start_worker(database: pg_sys::Oid) -> bool {
    process::start_worker(WORKER, WORKER, "pg_herald_worker_main", database)
}

/// Registers the launcher; called while the library is preloaded.
pub fn register() {
    process::register_launcher(LAUNCHER, "pg_herald_launcher_main");
}
