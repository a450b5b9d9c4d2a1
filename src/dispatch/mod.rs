//! Step 3: the worker's loop. Read a slice of the log, match it, hand deliveries to the sender, record what became of
//! them, and do nothing for longer than a few milliseconds without looking at all of these.
//!
//! No SQL text, no HTTP and no policy is in here: the log, the record, the sender and the core have them.

mod bury;
mod changes;
mod claim;
mod consent;
mod hold;
mod house;
mod lanes;
mod pings;
mod reader;
mod recording;
mod send;
mod set_aside;
mod settle;
pub mod subscriptions;
mod survey;
mod suspects;
mod windows;
pub mod work;

use self::bury::Burials;
use self::consent::Asking;
use crate::life::{self, Doing};
use crate::log::read::Ring;
use crate::pg::process::{self, EventFd};
use crate::pg::transaction::{Fault, TransactionError};
use crate::pg::wait::Waiter;
use crate::pg::{catalog, lock, shmem, transaction};
use crate::record::Record;
use crate::settings::Settings;
use herald_core::slices::SliceSize;
use herald_core::steps::{Cause, Step, Steps};
use herald_core::tenants::Tenants;
use herald_core::threads::Threads;
use herald_sender::Sender;
use lanes::Lanes;
use pgrx::pg_sys;
use reader::Reader;
use set_aside::SetAside;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subscriptions::Subscriptions;
use suspects::Suspects;
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
/// What deliveries hold in memory, in bytes, above which the log is not read on.
const MEMORY: usize = 64 << 20;
/// The same for pending deliveries, which are sent also while the log is not read because of what is set aside.
const CLAIM_MEMORY: usize = 2 * MEMORY;
/// As much of a response as is kept, in bytes.
const LARGEST_RESPONSE: usize = 8 << 10;
/// How long a stop waits for requests under way.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// So many file descriptors no socket gets, for the files that PostgreSQL opens in this process. A process that cannot
/// open the log it writes to takes the whole server down. Fewer than the ten that PostgreSQL itself leaves alone.
const RESERVED_DESCRIPTORS: u64 = 8;

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
            return life::forget(database);
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
    let suspects = suspects::inherit(database);
    match Worker::start(extension, event_seq, suspects) {
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
        // A step that has to wait for longer is tried again: the others go on meanwhile.
        ("lock_timeout", "20ms"),
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
    /// What came to its end and is not recorded, and since when the first of it.
    ended: Vec<Record>,
    ended_since: Option<Instant>,
    set_aside: SetAside,
    burials: Burials,
    ring: Ring,
    next_token: u64,
    /// Test requests under way, and the mail that asked for each.
    pings: HashMap<u64, u64>,
    /// Mail that asks for a test request, and the subscription, while there is no thread for it.
    waiting_pings: Vec<(u64, i64)>,
    suspects: Suspects,
    /// Receivers that have to consent first, and when they are asked again.
    asking: HashMap<i64, Asking>,
    house_due: Instant,
    /// When backlogs are cut to what they may be, if some may be longer.
    shedding_due: Option<Instant>,
    shedding_size: SliceSize,
    /// The held event up to which housekeeping looked for some to release.
    released_to: i64,
    bytes_in_memory: usize,
    due_looked_at: Option<Instant>,
    /// Lanes for which the table was not asked yet what is due.
    due_unknown: Vec<i64>,
    looked_at: Instant,
    look_took: Duration,
    look_wanted: bool,
    /// Notices of changes that are loaded wait to be deleted.
    changes_to_forget: bool,
    shortage_said_at: Option<Instant>,
    steps: Steps,
    is_stopping: bool,
}

impl Worker {
    fn start(
        extension: pg_sys::Oid,
        event_seq: pg_sys::Oid,
        suspects: Suspects,
    ) -> Result<Self, String> {
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
        let (reader, ring) =
            Reader::restore(extension, event_seq).map_err(|error| error.to_string())?;
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
            ended: Vec::new(),
            ended_since: None,
            set_aside: SetAside::default(),
            burials: Burials::default(),
            ring,
            next_token: 0,
            pings: HashMap::new(),
            waiting_pings: Vec::new(),
            suspects,
            asking: HashMap::new(),
            house_due: Instant::now(),
            shedding_due: None,
            shedding_size: bury::SLICE,
            released_to: 0,
            bytes_in_memory: 0,
            due_looked_at: None,
            due_unknown: Vec::new(),
            looked_at: Instant::now(),
            look_took: Duration::ZERO,
            look_wanted: true,
            changes_to_forget: false,
            shortage_said_at: None,
            steps: Steps::default(),
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
            life::at(Doing::Waiting);
            self.waiter.wait(pause);
            life::seen(now_micros());
            if process::reload_configuration_if_asked() {
                self.reload_settings();
            }
            has_more = self.turn();
            survey_gap = self.lanes.survey_if_due(now_micros());
        }
        self.stop();
    }

    /// Whether there may be something new in the log: somebody committed, the last look left something, or it is
    /// time for the look that is the net under lost wake-ups. While none can be made, commits do not wake the worker.
    fn is_look_due(&mut self) -> bool {
        let is_woken = shmem::own_entry().is_some_and(shmem::Entry::is_woken);
        self.look_wanted |= is_woken || self.looked_at.elapsed() >= self.settings.poll_interval;
        let is_due = self.look_wanted
            && self.can_read()
            && self.look_gap().is_zero()
            && !self.steps.rests(Step::Read, now_micros());
        if is_due && let Some(entry) = shmem::own_entry() {
            entry.look();
        }
        is_due
    }

    /// How long a look at the log has to wait: for the lanes, or because nobody waits for what it finds.
    fn look_gap(&self) -> Duration {
        let gap = if self.subscriptions.is_nobody_there() {
            LONGEST_LOOK_GAP
        } else if self.lanes.survey().any_flowing {
            (self.look_took * LOOK_GAP).min(LONGEST_LOOK_GAP)
        } else {
            Duration::ZERO
        };
        gap.saturating_sub(self.looked_at.elapsed())
    }

    /// One turn: everything a little. Returns whether there is more to do at once.
    fn turn(&mut self) -> bool {
        let now = now_micros();
        self.waiter.drain();
        let outcomes = self.settle_outcomes();
        self.threads.age(now);
        self.spill_what_must(now);
        let read =
            self.is_look_due() && self.step(Step::Read, |worker| worker.read(now)) == Some(true);
        self.step(Step::ForgetChanges, Self::forget_changes);
        self.step(Step::Claim, |worker| worker.claim_due(now));
        life::at(Doing::Sending);
        self.send_pings();
        self.ask_for_consent();
        self.dispatch(now);
        if self.is_record_due() {
            self.step(Step::Record, Self::record);
        }
        self.step(Step::RecordSetAside, Self::record_set_aside);
        if self.burials.has_unnoted() {
            self.step(Step::Note, Self::note_gone);
        }
        if self.burials.is_due() {
            self.step(Step::Bury, Self::bury_slice);
        }
        if self.is_shedding_due() {
            self.step(Step::Shed, Self::shed_backlog);
        }
        if self.is_house_due() {
            self.step(Step::House, Self::keep_house);
        }
        outcomes == OUTCOMES_A_TURN
            || read
            || self.ended.len() >= RECORD_SIZE && !self.steps.rests(Step::Record, now_micros())
    }

    /// Runs a step, unless it rests after a failure. A failure concerns this step only.
    fn step<R>(
        &mut self,
        step: Step,
        run: impl FnOnce(&mut Self) -> Result<R, TransactionError>,
    ) -> Option<R> {
        if self.steps.rests(step, now_micros()) || process::stop_requested() {
            return None;
        }
        life::at(Doing::Step(step));
        match run(self) {
            Ok(result) => {
                self.steps.succeeded(step);
                Some(result)
            }
            Err(error) => {
                self.failed(step, &error);
                None
            }
        }
    }

    fn failed(&mut self, step: Step, error: &TransactionError) {
        let cause = match error.fault() {
            Fault::Others => Cause::Others,
            Fault::Server | Fault::Value => Cause::Own,
        };
        let is_first = self.steps.failed(step, cause, now_micros());
        // A stop cancels what runs.
        if is_first && !process::stop_requested() {
            pgrx::log!("pg_herald: cannot {}: {error}; retrying", step.words());
        }
        self.is_stopping |= error.is_about_a_missing_table();
    }

    /// What deliveries hold in memory, in bytes, with the outcomes that are not recorded.
    fn memory(&self) -> usize {
        self.bytes_in_memory + self.ended.len() * LARGEST_RESPONSE + self.set_aside.memory()
    }

    fn rest(&self, step: Step) -> Duration {
        Duration::from_micros(self.steps.rest_micros(step, now_micros()).unsigned_abs())
    }

    /// How long there is certainly nothing to do, unless woken. Without a survey after the turn, until there is one.
    fn pause(&mut self, survey_gap: Duration) -> Duration {
        let now = now_micros();
        let entry = shmem::own_entry();
        if entry.is_some_and(shmem::Entry::is_called) {
            return Duration::ZERO;
        }
        let is_woken = entry.is_some_and(shmem::Entry::is_woken);
        let mut pause = self.settings.poll_interval;
        let mut is_due_in = |due: Duration, step: Step| pause = pause.min(due.max(self.rest(step)));
        is_due_in(
            self.house_due.saturating_duration_since(Instant::now()),
            Step::House,
        );
        if let Some(due) = self.shedding_due {
            is_due_in(due.saturating_duration_since(Instant::now()), Step::Shed);
        }
        if let Some(due) = self.set_aside.due_in() {
            is_due_in(due, Step::RecordSetAside);
        }
        if self.burials.has_unnoted() {
            is_due_in(Duration::ZERO, Step::Note);
        }
        if let Some(due) = self.burials.due_in() {
            is_due_in(due, Step::Bury);
        }
        if !self.ended.is_empty() || self.windows.any_closable() {
            is_due_in(RECORD_AFTER, Step::Record);
        }
        if (self.look_wanted || is_woken) && self.can_read() {
            is_due_in(self.look_gap(), Step::Read);
        }
        if self.changes_to_forget {
            is_due_in(Duration::ZERO, Step::ForgetChanges);
        }
        if self.settings.enabled
            && self.memory() < CLAIM_MEMORY
            && let Some(due) = self.lanes.survey().first_due
        {
            let due = due.saturating_sub(now).max(1_000).unsigned_abs();
            is_due_in(Duration::from_micros(due), Step::Claim);
        }
        let may_claim = self.settings.enabled && self.memory() < CLAIM_MEMORY;
        if may_claim && !self.due_unknown.is_empty() {
            is_due_in(Duration::ZERO, Step::Claim);
        }
        for until in [self.until_asking(), self.until_ping()] {
            pause = pause.min(until.unwrap_or(pause));
        }
        if !survey_gap.is_zero() {
            pause = pause.min(survey_gap);
        }
        pause
    }

    fn should_stop(&self) -> bool {
        let unwanted = shmem::own_entry().is_some_and(|entry| !entry.is_wanted());
        self.is_stopping || process::stop_requested() || unwanted
    }

    /// Waits a little for what is under way, records it, and leaves the rest to the next worker.
    fn stop(&mut self) {
        process::stop_cancelling_statements();
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
        if let Err(error) = self.record_last() {
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

    fn new_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }
}

/// The time of day in microseconds since 1970.
fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}
