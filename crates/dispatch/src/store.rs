//! What dispatch asks of the database: one trait, which the worker implements with PostgreSQL and a test with maps.
//!
//! Each method is a transaction of its own. It has happened as a whole when it returns `Ok`, and left nothing behind when
//! it returns a [`Failure`]; in between nothing is waited for but the database.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use herald_core::event::Event;
use herald_core::snapshot::Snapshot;

use crate::burials::{Ended, Gone};
use crate::deaths::Place;
use crate::failure::Failure;
use crate::house::{Cleaned, Part};
use crate::log::{Before, Logged, Look, Ring, Slice, Window};
use crate::record::{Accounts, Batch, Closed, Record};
use crate::report::Report;
use crate::shedding::{Shed, Walk};
use crate::slices::Extent;
use crate::subscriptions::{Changes, Loaded};
use crate::tenants::{Quotas, Tenants};

/// A result, and how long it took.
#[derive(Debug)]
pub struct Took<R> {
    pub result: Result<R, Failure>,
    pub took: Duration,
}

/// Places at which a trial ends the worker, to show that nothing is lost there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    AfterRead,
    AfterFlush,
    MidSlice,
    AfterClaim,
    AfterSpill,
    BeforeRecord,
    AfterRecord,
}

/// The database.
pub trait Store {
    /// Whether somebody committed events since the last glimpse.
    fn is_woken(&self) -> bool;

    /// One transaction that sees one snapshot, before which the last number and the next id were read, in this order. From
    /// here on [`is_woken`](Self::is_woken) tells of later commits. It commits if `see` succeeds,
    /// and what `see` did counts only if it has committed.
    fn glimpse<R>(
        &mut self,
        see: impl FnOnce(&mut dyn View, Before) -> Result<R, Failure>,
    ) -> Took<R>;

    /// Deletes the notices of changes that this snapshot shows.
    fn forget_changes(&mut self, loaded: &Snapshot) -> Result<(), Failure>;

    /// Why nothing may be sent from this database, or `None`.
    fn hold_reason(&mut self) -> Result<Option<String>, Failure>;

    /// When the first pending delivery of some subscriptions is due: pairs of id and time.
    fn find_due(&mut self, subscriptions: &[i64]) -> Result<Vec<(i64, i64)>, Failure>;

    /// Pending deliveries with their events. A claim is remembered by the caller only.
    fn claim(&mut self, claim: &Claim<'_>) -> Result<Claims, Failure>;

    /// The event at this place of the log, without data that is larger.
    fn event_at(&mut self, place: (i16, i64), largest: i32) -> Result<Option<Event>, Failure>;

    /// Writes the batch, as much of it as can be written. What is written is committed; a window is closed with the last of
    /// its records or after it, never before. A crash may undo the commit.
    fn record(&mut self, batch: Batch, effort: Effort, ring: Ring, tenants: &Tenants) -> Recorded;

    /// Disables a subscription whose receiver is gone.
    fn disable(&mut self, gone: &Gone) -> Result<(), Failure>;

    /// Subscriptions with a higher id that are disabled or removed and have pending deliveries.
    fn find_ended(&mut self, after: i64) -> Result<VecDeque<Ended>, Failure>;

    /// Buries some of what is pending for such a subscription.
    fn bury(&mut self, ended: &Ended, most: usize) -> Took<Buried>;

    /// Goes on along a backlog, a bounded part of it, or buries some of what is behind as many as it may have.
    fn shed(&mut self, walk: Walk, most: usize) -> Took<Shed>;

    /// Cleans up, a part of a round.
    fn keep_house(&mut self, part: Part) -> Took<Option<Cleaned>>;

    /// What became of the settings that the worker was started with.
    fn configuration(&mut self) -> Result<Configuration, Failure>;

    /// Writes down how the worker fares, and these event types, which were never seen before.
    fn report(&mut self, report: &Report, fresh_types: &[String]) -> Result<(), Failure>;

    /// Called at these places.
    fn reached(&mut self, _point: Point) {}
}

/// What can be seen in one transaction, which is rolled back when something fails in it.
pub trait View {
    /// One look at the log. `loaded` is the snapshot as of which the subscriptions are known.
    fn look(&mut self, loaded: &Snapshot) -> Result<Look, Failure>;

    /// What the notices ask for that this snapshot does not show.
    fn changes(&mut self, loaded: &Snapshot) -> Result<Changes, Failure>;

    /// The ids of all subscriptions.
    fn subscriptions(&mut self) -> Result<Vec<i64>, Failure>;

    /// Those of these subscriptions that exist.
    fn load(&mut self, ids: &[i64]) -> Result<Vec<Loaded>, Failure>;

    /// The quotas of all tenants, and when they are others.
    fn quotas(&mut self) -> Result<(Quotas, i64), Failure>;

    /// The events of the window from its next number up to this one, without data that is larger than `largest`.
    fn slice(
        &mut self,
        window: &Window,
        end: i64,
        largest: i32,
        extent: Extent,
    ) -> Result<Slice, Failure>;

    /// Whether a crash may undo the commit of one of these events, as far as known: it was asynchronous.
    fn may_vanish(&mut self, window: &Window, events: &[Logged]) -> Result<bool, Failure>;

    /// Has everything that this transaction saw on disk when it has committed.
    fn flush_at_commit(&mut self);

    /// Which deliveries of these events are on record: pairs of number and subscription.
    fn find_done(&mut self, events: &[Logged]) -> Result<BTreeSet<(i64, i64)>, Failure>;

    /// Writes down that the window is open.
    fn open(&mut self, window: &Window) -> Result<(), Failure>;

    /// The worker is at this event from here on: what it dies of is known by that.
    fn is_at(&mut self, place: Place);

    /// Called at these places.
    fn reached(&mut self, _point: Point) {}
}

/// Which pending deliveries are claimed.
#[derive(Debug)]
pub struct Claim<'a> {
    pub subscription: i64,
    /// At most so many rows, after this due time and number.
    pub limit: usize,
    pub after: (i64, i64),
    pub now_micros: i64,
    /// Whether their events are wanted.
    pub with_events: bool,
    /// Those that are claimed already.
    pub claimed: &'a BTreeSet<i64>,
    /// Those whose events the worker died of reading.
    pub given_up: &'a [i64],
    /// Data larger than this is left where it is.
    pub largest: i32,
    /// Events beyond so many bytes are left where they are, but for that of the first row.
    pub bytes: usize,
}

impl Claim<'_> {
    /// Whether the event of this row is to be read.
    pub fn wants_event(&self, due: &Due) -> bool {
        self.with_events
            && due.next_attempt_at <= self.now_micros
            && !self.claimed.contains(&due.seq)
            && !self.given_up.contains(&due.seq)
    }
}

/// A row of `herald.pending`.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    pub slot: i16,
    pub seq: i64,
    pub next_attempt_at: i64,
    pub attempts: u32,
    pub step: u32,
    pub created_at: i64,
}

/// What was claimed.
#[derive(Debug, Default)]
pub struct Claims {
    pub rows: Vec<Due>,
    /// The events of those whose events were wanted, as far as there are any.
    pub events: Vec<Logged>,
    /// Whether these are all of them: they may be too large for one claim.
    pub is_complete: bool,
}

/// How hard it is tried to write a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// It waits for locks, and goes around them if it has to.
    Whole,
    /// It goes around what is locked at once.
    AroundLocks,
    /// The same with what was tried before. A record that is alone may take so long.
    Again(Duration),
    /// Nothing else waits any more.
    Last,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Recorded {
    pub written: Vec<Record>,
    pub closed_windows: Vec<Closed>,
    /// What was added to the accounts of tenants.
    pub usage: Accounts,
    /// Another session's lock held these up. They can be tried again at any time.
    pub set_aside: Vec<Record>,
    /// How many of them were not tried for want of time.
    pub untried: usize,
    /// A record that was alone took longer than it may.
    pub is_slow: bool,
    /// Why `left` was not written. Nothing is wrong with the records.
    pub failure: Option<Failure>,
    pub left: Vec<Record>,
    /// How long all of it took.
    pub took: Duration,
}

/// What was buried at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buried {
    pub count: usize,
    /// Everything up to this number.
    pub up_to: Option<i64>,
}

/// What became of the settings that the worker was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configuration {
    Same,
    /// Others were set for the database or the role.
    Changed,
    /// The extension is not the one that the worker was started for.
    Gone,
}
