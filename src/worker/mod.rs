//! Step 3: the worker's process. It waits, then takes a turn: it reads a slice of the log, matches it, hands deliveries
//! to the sender and records their outcomes. Each of these gets a turn every few milliseconds.
//!
//! It has no SQL text, no HTTP and no policy. [`herald_dispatch`] decides what is done next; this module is its clock,
//! and carries out its effects.

mod breakers;
mod configuration;
mod courier;
mod hold;
mod mail;

use self::breakers::Breakers;
use self::courier::HttpCourier;
use crate::launcher;
use crate::life::{self, Doing};
use crate::pg::process::{self, EventFd};
use crate::pg::transaction::{self, TransactionError};
use crate::pg::wait::{self, Waiter};
use crate::pg::{catalog, lock, mailbox, shmem};
use crate::ping;
use crate::settings::{Sending, Settings};
use crate::store::{self, Configured, PgStore};
use herald_dispatch::deaths::Legacy;
use herald_dispatch::effects::{Effect, Effects};
use herald_dispatch::mind::{Ending, Mind, Part};
use herald_dispatch::suspects::Suspects;
use herald_dispatch::threads::Threads;
use herald_dispatch::time::{Moment, Now};
use herald_sender::Sender;
use pgrx::pg_sys;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a worker waits for the commit of a transaction that creates the extension and starts the worker.
const COMMITTED_BY: Duration = Duration::from_secs(10);
/// How long a stop waits for requests under way.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// File descriptors withheld from sockets, for the files that PostgreSQL opens in this process: a process that cannot
/// open the log that it writes to takes the whole server down. Fewer than the ten that PostgreSQL itself leaves free.
const RESERVED_DESCRIPTORS: u64 = 8;

/// The main function of the worker of `database`.
pub fn run(database: pg_sys::Oid) {
    process::take_signals();
    process::connect(database);
    prepare_session();
    let registry = shmem::registry();
    let entry = registry.and_then(|registry| registry.find(database));
    let seen = entry.map(|entry| (entry, entry.seen()));
    let found = match registry {
        Some(_) => find_extension(),
        None => wait_for_extension(),
    };
    let (extension, event_seq) = match found {
        Ok(Some((extension, Some(event_seq)))) => (extension, event_seq),
        // The extension is missing: nothing to do until somebody creates it.
        Ok(_) => {
            if let Some((entry, seen)) = seen {
                entry.release_unless_asked(seen);
            }
            return life::forget(database);
        }
        Err(error) => return pgrx::log!("pg_herald: the worker cannot start: {error}"),
    };
    if !lock::try_become_only_worker(extension) {
        return;
    }
    // As soon as possible after the session adopted it.
    let configured = match Configured::now(extension) {
        Ok(configured) => configured,
        Err(error) => return pgrx::log!("pg_herald: the worker cannot start: {error}"),
    };
    if let Some(registry) = registry {
        match registry.find(database) {
            Some(entry) => entry.register_worker(),
            None => return,
        }
    }
    if !hold::wait_until_free() {
        return;
    }
    let suspects = inherit(database);
    let worker = Worker::start(extension, event_seq, configured, suspects);
    // A step that must wait longer is retried: the others continue meanwhile, and no other delivery waits longer than
    // this.
    transaction::set("lock_timeout", "5ms");
    match worker {
        Ok(mut worker) => {
            worker.work();
            if worker.mind.ending == Some(Ending::StartAgain) {
                drop(worker);
                start_successor(extension, database);
            }
        }
        Err(message) => pgrx::warning!("pg_herald: the worker cannot start: {message}"),
    }
}

/// Finds the extension, and waits for it a little if it is missing: the transaction that created it and started this
/// worker may not have committed yet.
fn wait_for_extension() -> Result<Option<(pg_sys::Oid, Option<pg_sys::Oid>)>, TransactionError> {
    let mut found = find_extension();
    let until = Instant::now() + COMMITTED_BY;
    while matches!(found, Ok(None)) && Instant::now() < until && !process::stop_requested() {
        wait::wait_for_latch(Duration::from_millis(50));
        found = find_extension();
    }
    found
}

/// Returns the extension with its sequence, if it exists.
fn find_extension() -> Result<Option<(pg_sys::Oid, Option<pg_sys::Oid>)>, TransactionError> {
    transaction::transaction(|| {
        catalog::extension()
            .map(|extension| (extension, catalog::relation("herald_internal.event_seq")))
    })
}

/// Starts another worker at once, through the launcher if the library is preloaded.
fn start_successor(extension: pg_sys::Oid, database: pg_sys::Oid) {
    match shmem::registry() {
        Some(registry) => registry.ask_for_successor(database),
        None => {
            lock::release_only_worker(extension);
            launcher::start_worker(database);
        }
    }
}

/// Keeps the settings of a role or a database from changing how the worker works.
pub fn prepare_session() {
    for (name, value) in [
        ("role", "none"),
        ("application_name", "pg_herald worker"),
        ("search_path", "pg_catalog, pg_temp"),
        ("row_security", "off"),
        ("default_transaction_read_only", "off"),
        ("session_replication_role", "origin"),
        ("timezone", "UTC"),
        // Losing what the worker wrote costs duplicates, never events; where it would cost more, the worker flushes.
        ("synchronous_commit", "off"),
        // At first: nobody waits for a worker that has not begun.
        ("lock_timeout", "1s"),
        ("idle_in_transaction_session_timeout", "0"),
        ("statement_timeout", "0"),
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        ("transaction_timeout", "0"),
        // A plan made for empty slots must serve full ones.
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
    ] {
        transaction::set(name, value);
    }
}

/// Begins the life of this worker with its predecessor's legacy.
fn inherit(database: pg_sys::Oid) -> Suspects {
    let legacy = life::begin(database, now_micros()).unwrap_or_else(|error| {
        pgrx::log!("pg_herald: cannot note what the worker is doing: {error}");
        Legacy::default()
    });
    if let [.., poison] = &legacy.poison[..] {
        pgrx::log!(
            "pg_herald: {poison} killed the worker twice; it becomes a dead letter with the reason poison"
        );
    }
    if !legacy.suspects.is_empty() {
        pgrx::log!(
            "pg_herald: the last worker died; {} deliveries that it was at are sent one at a time",
            legacy.suspects.len()
        );
    }
    Suspects::new(&legacy)
}

/// The worker of one database.
#[derive(Debug)]
struct Worker {
    mind: Mind,
    store: PgStore,
    courier: HttpCourier,
    waiter: Waiter,
    /// The settings that the sender was started with.
    sending: Sending,
    effects: Effects,
    breakers: Breakers,
    started_at: Instant,
}

impl Worker {
    fn start(
        extension: pg_sys::Oid,
        event_seq: pg_sys::Oid,
        configured: Configured,
        suspects: Suspects,
    ) -> Result<Self, String> {
        let started_at = Instant::now();
        let settings = Settings::read()?;
        let outcomes_ready = EventFd::new().map_err(|error| error.to_string())?;
        let waker = outcomes_ready
            .try_clone()
            .map_err(|error| error.to_string())?;
        let waiter = Waiter::new(outcomes_ready);
        let sending = settings.sending.clone();
        let courier = HttpCourier(start_sender(settings.sending.clone(), waker)?);
        let (reader, ring) = store::restore(now_micros()).map_err(|error| error.to_string())?;
        Ok(Self {
            mind: Mind::new(
                configuration::of_dispatch(&settings),
                reader,
                ring,
                suspects,
            ),
            store: PgStore {
                extension,
                event_seq,
                url_policies: settings.sending.url_policies,
                configured,
            },
            courier,
            waiter,
            sending,
            effects: Effects::new(),
            breakers: Breakers::default(),
            started_at,
        })
    }

    fn work(&mut self) {
        configuration::report_state(&self.mind);
        let mut has_more = true;
        let mut survey_gap = Duration::ZERO;
        while !self.should_stop() {
            let pause = if has_more {
                Duration::ZERO
            } else {
                self.pause(survey_gap)
            };
            life::at(Doing::Waiting);
            self.waiter.wait(pause);
            life::seen(now_micros());
            if process::reload_configuration_if_asked() {
                configuration::reload(&mut self.mind, &self.sending, &mut self.effects);
            }
            has_more = self.turn();
            survey_gap = self.survey_if_due();
        }
        self.stop();
    }

    /// Takes one turn: a little of everything. Returns whether more can be done at once.
    fn turn(&mut self) -> bool {
        self.waiter.drain();
        let mut has_more = false;
        for part in self.mind.begin_turn() {
            let now = self.now();
            if !self.mind.is_due(part, &self.store, now) {
                continue;
            }
            match part {
                Part::Settle => {}
                Part::Send => {
                    life::at(Doing::Sending);
                    mail::fetch(&mut self.mind.pings);
                }
                Part::Step(_) if process::stop_requested() => continue,
                Part::Step(step) => life::at(Doing::Step(step)),
            }
            let (store, courier) = (&mut self.store, &mut self.courier);
            let effects = &mut self.effects;
            let result = self.mind.run(part, store, courier, effects, now);
            let now = self.now();
            has_more |= self.mind.finish(part, result, &mut self.effects, now);
            self.carry_out_effects();
        }
        has_more || self.mind.must_record(self.now())
    }

    /// Returns how long the worker has nothing to do for certain, unless woken.
    fn pause(&self, survey_gap: Duration) -> Duration {
        if shmem::own_entry().is_some_and(shmem::Entry::is_called) {
            return Duration::ZERO;
        }
        self.mind.pause(&self.store, survey_gap, self.now())
    }

    /// Surveys all lanes, unless that would take too much of the time. Returns how long the survey must still wait.
    fn survey_if_due(&mut self) -> Duration {
        let began = self.now();
        let gap = self.mind.lanes.until_survey(began);
        if gap.is_zero() {
            self.mind.lanes.take_survey(began.micros);
            let now = self.now();
            self.mind.lanes.surveyed(now, now.since(began.moment));
        }
        gap
    }

    /// Carries out effects other than storing and sending.
    fn carry_out_effects(&mut self) {
        for effect in self.effects.drain(..) {
            match effect {
                // A stop cancels running statements: their failures are not logged.
                Effect::Log(_) if process::stop_requested() => {}
                Effect::Log(words) => pgrx::log!("pg_herald: {words}"),
                Effect::Warn(words) => pgrx::warning!("pg_herald: {words}"),
                Effect::Answer { mail, outcome } => mailbox::answer(mail, &ping::answer(&outcome)),
                Effect::Keep { suspects, poison } => life::keep(&suspects, &poison),
                Effect::Breaker(turned) => self.breakers.push(turned),
                Effect::Probed(probed) => self.breakers.probed(probed),
                Effect::Consent(answered) => {
                    if let Err(error) = store::note_consent(answered) {
                        pgrx::log!(
                            "pg_herald: what a receiver answered could not be written down: {error:?}"
                        );
                    }
                }
            }
        }
        self.breakers.note();
    }

    fn should_stop(&self) -> bool {
        let unwanted = shmem::own_entry().is_some_and(|entry| !entry.is_wanted());
        self.mind.ending.is_some() || process::stop_requested() || unwanted
    }

    /// Waits briefly for requests under way, records them, and leaves the rest to the next worker.
    fn stop(&mut self) {
        self.carry_out_effects();
        process::stop_cancelling_statements();
        self.mind.take_back(self.courier.close());
        let until = Instant::now() + STOP_GRACE;
        while self.courier.is_busy() && Instant::now() < until {
            self.waiter
                .wait(until.saturating_duration_since(Instant::now()));
            self.waiter.drain();
            let now = self.now();
            let effects = &mut self.effects;
            self.mind.settle_returned(&mut self.courier, effects, now);
            self.carry_out_effects();
        }
        let now = self.now();
        let (store, effects) = (&mut self.store, &mut self.effects);
        if let Err(failure) = self.mind.record_last(store, effects, now) {
            pgrx::log!("pg_herald: the last attempts before the stop are not recorded: {failure}");
        }
        self.carry_out_effects();
    }

    fn now(&self) -> Now {
        Now {
            micros: now_micros(),
            moment: Moment::after_start(self.started_at.elapsed()),
        }
    }
}

fn start_sender(sending: Sending, waker: EventFd) -> Result<Sender<courier::Sending>, String> {
    let threads = Threads::pool_size(sending.threads);
    let descriptors = process::make_room_for_sockets(threads);
    let sender = process::with_all_signals_blocked(|| {
        Sender::start(
            herald_sender::Settings {
                threads,
                queue: 0,
                url_policy: sending.url_policies.platform,
                tenant_url_policy: sending.url_policies.tenants,
                ca_file: sending.ca_file,
                source_address: sending.source_address,
                proxy: sending.proxy,
                max_descriptor: descriptors.saturating_sub(RESERVED_DESCRIPTORS),
                ..herald_sender::Settings::default()
            },
            Arc::new(move || waker.signal()),
        )
    });
    sender.map_err(|error| error.to_string())
}

/// Returns the microseconds since 1970.
fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}
