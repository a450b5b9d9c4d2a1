//! Step 3: the worker's loop. Read a slice of the log, match it, hand deliveries to the sender, record what became of
//! them, and do nothing for longer than a few milliseconds without looking at all of these.
//!
//! No SQL text, no HTTP and no policy is in here: the log, the record, the sender and the core have them.

mod claim;
mod consent;
mod hold;
mod house;
mod lanes;
mod pings;
mod reader;
mod send;
mod settle;
pub mod subscriptions;
mod survey;
mod windows;
pub mod work;

use self::consent::Asking;
use crate::failpoint;
use crate::log::read::Ring;
use crate::pg::process::{self, EventFd};
use crate::pg::wait::Waiter;
use crate::pg::{catalog, lock, shmem, transaction};
use crate::record::{self, Batch, End};
use crate::settings::Settings;
use herald_core::tenants::Tenants;
use herald_core::threads::Threads;
use herald_sender::Sender;
use lanes::Lanes;
use pgrx::pg_sys;
use reader::Reader;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subscriptions::Subscriptions;
use windows::Windows;
use work::Claimed;

/// What is recorded together: at most this many ends, and none later than this after it came in.
const RECORD_SIZE: usize = 500;
const RECORD_AFTER: Duration = Duration::from_millis(10);
/// While deliveries wait for their turn, looks at the log take a quarter of the time, at most: after a look there is
/// none for so many times as long as it took. Each that finds something costs a transaction, and a look a commit would
/// keep the lanes waiting for it. Those that wait for a receiver which takes nothing do not count: their healthy neighbours
/// would wait as well.
const LOOK_GAP: u32 = 3;
/// However long a look took.
const LONGEST_LOOK_GAP: Duration = Duration::from_millis(200);
/// Outcomes looked at between two looks at everything else.
const OUTCOMES_A_TURN: usize = 500;
/// Data in memory, in bytes, above which the log is not read on.
const MEMORY: usize = 64 << 20;
/// How long a stop waits for requests under way.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// So many file descriptors no socket gets, for the files that PostgreSQL opens in this process. A process that cannot
/// open the log it writes to takes the whole server down. Fewer than the ten that PostgreSQL itself leaves alone.
const RESERVED_DESCRIPTORS: u64 = 8;
const FAILURES_IN_A_ROW: u32 = 10;

/// The main function of the worker of `database`.
pub fn run(database: pg_sys::Oid) {
    process::take_signals();
    process::connect(database);
    prepare_session();
    let registry = shmem::registry();
    let entry = registry.and_then(|registry| registry.find(database));
    let seen = entry.map(|entry| (entry, entry.seen()));
    let start = transaction::transaction(|| {
        catalog::extension().map(|extension| (extension, catalog::relation_in_herald("event_seq")))
    });
    let (extension, event_seq) = match start {
        Ok(Some((extension, Some(event_seq)))) => (extension, event_seq),
        // The extension is not there (any more): nothing to do until somebody creates it.
        Ok(_) => {
            if let Some((entry, seen)) = seen {
                entry.release_unless_asked(seen);
            }
            return;
        }
        Err(error) => return pgrx::log!("pg_herald: the worker cannot start: {error}"),
    };
    if !lock::try_become_only_worker(extension) {
        return;
    }
    if let Some(registry) = registry {
        match registry.find(database) {
            Some(entry) => entry.register_worker(),
            None => return,
        }
    }
    if !hold::wait_until_free() {
        return;
    }
    match Worker::start(event_seq) {
        Ok(mut worker) => worker.work(),
        Err(message) => pgrx::warning!("pg_herald: the worker cannot start: {message}"),
    }
}

/// Nothing that a role's or a database's settings say may change how the worker works.
fn prepare_session() {
    for (name, value) in [
        ("application_name", "pg_herald worker"),
        ("search_path", "pg_catalog, pg_temp"),
        ("row_security", "off"),
        ("default_transaction_read_only", "off"),
        ("timezone", "UTC"),
        // Losing what the worker wrote costs duplicates, never events; where it does not, it flushes.
        ("synchronous_commit", "off"),
        ("lock_timeout", "1s"),
        ("idle_in_transaction_session_timeout", "0"),
        ("statement_timeout", "0"),
        // A plan made for empty slots must serve full ones.
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
    ] {
        transaction::set(name, value);
    }
}

/// The worker of one database.
struct Worker {
    settings: Settings,
    sender: Sender<Claimed>,
    waiter: Waiter,
    reader: Reader,
    subscriptions: Subscriptions,
    lanes: Lanes,
    tenants: Tenants,
    windows: Windows,
    threads: Threads,
    batch: Batch,
    batch_since: Option<Instant>,
    ring: Ring,
    next_token: u64,
    /// Test requests under way, and the mail that asked for each.
    pings: HashMap<u64, u64>,
    /// Mail that asks for a test request, and the subscription, while there is no thread for it.
    waiting_pings: Vec<(u64, i64)>,
    /// Receivers that have to consent first, and when they are asked again.
    asking: HashMap<i64, Asking>,
    house_due: Instant,
    /// When backlogs are cut to what they may be, if some may be longer.
    shedding_due: Option<Instant>,
    /// The held event up to which housekeeping looked for some to release.
    released_to: i64,
    bytes_in_memory: usize,
    due_looked_at: Option<Instant>,
    looked_at: Instant,
    look_took: Duration,
    look_wanted: bool,
    shortage_said_at: Option<Instant>,
    failures: u32,
    resting_until: Instant,
    is_stopping: bool,
}

impl Worker {
    fn start(event_seq: pg_sys::Oid) -> Result<Self, String> {
        let settings = Settings::read()?;
        let outcomes_ready = EventFd::new().map_err(|error| error.to_string())?;
        let waker = outcomes_ready
            .try_clone()
            .map_err(|error| error.to_string())?;
        let waiter = Waiter::new(outcomes_ready);
        let sending = settings.sending.clone();
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
        })
        .map_err(|error| error.to_string())?;
        let (reader, ring) = Reader::restore(event_seq).map_err(|error| error.to_string())?;
        Ok(Self {
            threads: Threads::new(sending.threads),
            settings,
            sender,
            waiter,
            reader,
            subscriptions: Subscriptions::unloaded(),
            lanes: Lanes::default(),
            tenants: Tenants::default(),
            windows: Windows::default(),
            batch: Batch::default(),
            batch_since: None,
            ring,
            next_token: 0,
            pings: HashMap::new(),
            waiting_pings: Vec::new(),
            asking: HashMap::new(),
            house_due: Instant::now(),
            shedding_due: None,
            released_to: 0,
            bytes_in_memory: 0,
            due_looked_at: None,
            looked_at: Instant::now(),
            look_took: Duration::ZERO,
            look_wanted: true,
            shortage_said_at: None,
            failures: 0,
            resting_until: Instant::now(),
            is_stopping: false,
        })
    }

    fn work(&mut self) {
        process::report_activity("waiting for events");
        let mut has_more = true;
        let mut survey_gap = Duration::ZERO;
        while !self.should_stop() {
            let pause = if has_more {
                Duration::ZERO
            } else {
                self.pause(survey_gap)
            };
            self.waiter.wait(pause);
            if process::reload_configuration_if_asked() {
                self.reload_settings();
            }
            if Instant::now() < self.resting_until {
                continue;
            }
            let turned = self.turn();
            survey_gap = self.lanes.survey_if_due(now_micros());
            match turned {
                Ok(more) => {
                    has_more = more;
                    self.failures = 0;
                }
                Err(error) => {
                    has_more = false;
                    self.failed(&error);
                }
            }
        }
        self.stop();
    }

    /// Whether there may be something new in the log: somebody committed, the last look left something, or it is
    /// time for the look that is the net under lost wake-ups. While none can be made, commits do not wake the worker.
    fn is_look_due(&mut self) -> bool {
        let is_woken = shmem::own_entry().is_some_and(shmem::Entry::is_woken);
        self.look_wanted |= is_woken || self.looked_at.elapsed() >= self.settings.poll_interval;
        let is_due = self.look_wanted && self.can_read() && self.look_gap().is_zero();
        if is_due && let Some(entry) = shmem::own_entry() {
            entry.look();
        }
        is_due
    }

    /// How long a look at the log has to wait: for the lanes, or because nobody waits for what it finds.
    fn look_gap(&self) -> Duration {
        let now = now_micros();
        let gap = if self.subscriptions.is_nobody_there(now) {
            LONGEST_LOOK_GAP
        } else if self.lanes.survey().any_flowing {
            (self.look_took * LOOK_GAP).min(LONGEST_LOOK_GAP)
        } else {
            Duration::ZERO
        };
        gap.saturating_sub(self.looked_at.elapsed())
    }

    /// One turn: everything a little. Returns whether there is more to do at once.
    fn turn(&mut self) -> Result<bool, transaction::TransactionError> {
        let now = now_micros();
        self.waiter.drain();
        let outcomes = self.settle_outcomes();
        self.threads.age(now);
        self.spill_what_must(now);
        let read = self.is_look_due() && self.read(now)?;
        self.claim_due(now)?;
        self.send_pings();
        self.ask_for_consent();
        self.dispatch(now);
        self.record_if_due()?;
        self.shed_backlog()?;
        self.keep_house()?;
        Ok(outcomes == OUTCOMES_A_TURN || read)
    }

    fn record_if_due(&mut self) -> Result<(), transaction::TransactionError> {
        if self.batch.is_empty() && self.windows.closable().is_empty() {
            self.batch_since = None;
            return Ok(());
        }
        let since = *self.batch_since.get_or_insert_with(Instant::now);
        if self.batch.records.len() < RECORD_SIZE && since.elapsed() < RECORD_AFTER {
            return Ok(());
        }
        self.record()
    }

    /// Writes down what came to its end, and closes the windows that are done with it.
    fn record(&mut self) -> Result<(), transaction::TransactionError> {
        self.batch.closed_windows = self.windows.closable();
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch.usage = record::usage_of(&self.batch.records, &self.tenants);
        failpoint::reached("before_record");
        record::record(&self.batch, self.ring)?;
        failpoint::reached("after_record");
        let batch = std::mem::take(&mut self.batch);
        self.expect_shedding(&batch.records);
        self.batch_since = None;
        self.windows.forget(&batch.closed_windows);
        self.tenants.recorded(&batch.usage);
        let now = now_micros();
        for record in &batch.records {
            let Some(entry) = self.forget(&record.work) else {
                continue;
            };
            if entry.lane.is_spilled() && entry.claimed.is_empty() {
                // That may have been the last one: a claim that finds nothing lets the reader feed the lane again.
                entry.expect_due(now);
            }
            if let End::Pending { at_micros, .. } = record.end {
                entry.unrecorded = entry.unrecorded.saturating_sub(1);
                // From now on the row is there to be claimed; a claim in between did not see it.
                entry.expect_due(at_micros);
                if entry.claimed_to >= Some((at_micros, record.work.event.seq)) {
                    entry.claimed_to = None;
                }
            }
        }
        Ok(())
    }

    /// How long there is certainly nothing to do, unless woken. Without a survey after the turn, until there is one.
    fn pause(&mut self, survey_gap: Duration) -> Duration {
        let now = now_micros();
        let entry = shmem::own_entry();
        if entry.is_some_and(shmem::Entry::is_called) {
            return self.rest();
        }
        let is_woken = entry.is_some_and(shmem::Entry::is_woken);
        let mut pause = self
            .settings
            .poll_interval
            .min(self.house_due.saturating_duration_since(Instant::now()));
        if let Some(until) = self.until_asking() {
            pause = pause.min(until);
        }
        if let Some(due) = self.shedding_due {
            pause = pause.min(due.saturating_duration_since(Instant::now()));
        }
        if !survey_gap.is_zero() {
            pause = pause.min(survey_gap);
        }
        if !self.batch.is_empty() || self.windows.len() > 0 {
            pause = pause.min(RECORD_AFTER);
        }
        if (self.look_wanted || is_woken) && self.can_read() {
            pause = pause.min(self.look_gap());
        }
        if self.settings.enabled
            && let Some(due) = self.lanes.survey().first_due
        {
            pause = pause.min(Duration::from_micros(
                due.saturating_sub(now).max(1_000).unsigned_abs(),
            ));
        }
        pause.max(self.rest())
    }

    /// How long nothing is done after a failure, whatever there is to do.
    fn rest(&self) -> Duration {
        self.resting_until.saturating_duration_since(Instant::now())
    }

    fn should_stop(&self) -> bool {
        let unwanted = shmem::own_entry().is_some_and(|entry| !entry.is_wanted());
        self.is_stopping || process::stop_requested() || unwanted
    }

    /// Waits a little for what is under way, records it, and leaves the rest to the next worker.
    fn stop(&mut self) {
        let unsent = self.sender.close();
        unsent
            .into_iter()
            .for_each(|work| self.threads.finish(work.token, work.subscription.id));
        let until = Instant::now() + STOP_GRACE;
        while self.sender.in_flight() > 0 && Instant::now() < until {
            self.waiter
                .wait(until.saturating_duration_since(Instant::now()));
            self.waiter.drain();
            self.settle_outcomes();
        }
        if let Err(error) = self.record() {
            pgrx::log!("pg_herald: the last attempts before the stop are not recorded: {error}");
        }
    }

    fn reload_settings(&mut self) {
        match Settings::read() {
            // What the threads were started with stays until the worker is started again.
            Ok(settings) => {
                self.settings = Settings {
                    sending: self.settings.sending.clone(),
                    ..settings
                };
                // The file with the key of their secrets.
                self.subscriptions.expire();
                self.look_wanted = true;
            }
            Err(message) => pgrx::warning!("pg_herald: settings are not taken over: {message}"),
        }
    }

    /// Counts a failure of our own machinery. The first is logged, so that a full disk does not fill it further.
    fn failed(&mut self, error: &transaction::TransactionError) {
        self.failures = (self.failures + 1).min(FAILURES_IN_A_ROW);
        self.resting_until = Instant::now() + Duration::from_millis(100 << self.failures.min(9));
        if self.failures == 1 {
            pgrx::log!("pg_herald: {error}; trying again");
        }
        // lock_not_available: somebody's transaction stays open on what is to be recorded.
        if error.sqlstate == "55P03" {
            self.end_tenants_in_the_way();
        }
        // 3F000 and 42P01: the extension was dropped under our feet.
        if matches!(error.sqlstate.as_str(), "3F000" | "42P01") {
            self.is_stopping = true;
        }
    }

    fn new_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }
}

/// The time of day in microseconds since 1970.
fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}
