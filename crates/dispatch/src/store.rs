//! The store: all that dispatch asks of the database, as a trait that the worker implements with PostgreSQL and a test
//! with maps.
//!
//! Each method is a transaction of its own: after `Ok` all of it has happened, after a [`Failure`] nothing. It waits
//! for nothing except the database.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use herald_core::event::Event;
use herald_core::snapshot::Snapshot;

use crate::cleaned::{Cleaned, Part};
use crate::deaths::Place;
use crate::ended::{Buried, Ended, Gone};
use crate::failure::Failure;
use crate::lane::keys::Rank;
use crate::limits::Limits;
use crate::log::{Before, Logged, Look, Ring, Slice, Window};
use crate::record::{Accounts, Batch, Closed, Record};
use crate::report::Report;
use crate::slices::Extent;
use crate::subscriptions::{Changes, Loaded};
use crate::tenants::Tenants;
use crate::walk::{Shed, Walk};

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
    /// Returns whether events were committed since the last glimpse.
    fn is_woken(&self) -> bool;

    /// Runs `see` in a transaction with one snapshot, before which it reads the last number and the next id, in this
    /// order. From here on, [`is_woken`](Self::is_woken) reports later commits. The transaction commits if `see`
    /// succeeds; the effects of `see` count only if it has committed.
    fn glimpse<R>(
        &mut self,
        see: impl FnOnce(&mut dyn View, Before) -> Result<R, Failure>,
    ) -> Took<R>;

    /// Deletes the notices of changes that this snapshot shows.
    fn forget_changes(&mut self, loaded: &Snapshot) -> Result<(), Failure>;

    /// Returns why nothing may be sent from this database, or `None`.
    fn hold_reason(&mut self) -> Result<Option<String>, Failure>;

    /// Returns when the first pending delivery of each of these subscriptions is due: pairs of id and time.
    fn find_due(&mut self, subscriptions: &[i64]) -> Result<Vec<(i64, i64)>, Failure>;

    /// Returns pending deliveries with their events. Only the caller remembers the claim.
    fn claim(&mut self, claim: &Claim<'_>) -> Took<Claims>;

    /// Returns, unless a dead letter holds the key, the first pending deliveries of each of these keys that can be [sent](crate::order::sendable), with their events.
    fn claim_keys(&mut self, claim: &Claim<'_>, keys: &[i64]) -> Took<Claims>;

    /// Walks along the keys of a subscription from the one after `after`, past at most `most`. Finds those whose first
    /// row is parked.
    fn find_parked(&mut self, subscription: i64, after: Option<i64>, most: usize) -> Took<Parked>;

    /// Makes at most `most` parked deliveries of a subscription without an order due, and returns how many.
    fn unpark(&mut self, subscription: i64, most: usize) -> Took<usize>;

    /// Makes scheduled deliveries due whose time has come, at most `most`, and drops those that were cancelled.
    fn release_scheduled(&mut self, most: usize) -> Took<Released>;

    /// Returns the event at this place of the log, without data larger than `largest`.
    fn event_at(&mut self, place: (i16, i64), largest: i32) -> Result<Option<Event>, Failure>;

    /// Writes as much of the batch as can be written, and commits it. A window is closed with the last of its records
    /// or later, never earlier. A crash may undo the commit.
    fn record(&mut self, batch: Batch, effort: Effort, ring: Ring, tenants: &Tenants) -> Recorded;

    /// Disables a subscription whose receiver is gone.
    fn disable(&mut self, gone: &Gone) -> Result<(), Failure>;

    /// Returns the disabled or removed subscriptions with pending deliveries and an id above `after`.
    fn find_ended(&mut self, after: i64) -> Result<VecDeque<Ended>, Failure>;

    /// Buries at most `most` pending deliveries of such a subscription.
    fn bury(&mut self, ended: &Ended, most: usize) -> Took<Buried>;

    /// Walks a bounded part of a backlog, or buries some of the deliveries beyond its limit.
    fn shed(&mut self, walk: Walk, most: usize) -> Took<Shed>;

    /// Does a part of a round of cleaning up.
    fn keep_house(&mut self, part: Part) -> Took<Option<Cleaned>>;

    /// Returns whether the settings that the worker was started with still hold.
    fn configuration(&mut self) -> Result<Configuration, Failure>;

    /// Writes the worker's report, and these event types, which are new.
    fn report(&mut self, report: &Report, fresh_types: &[String]) -> Result<(), Failure>;

    /// Called at these points.
    fn reached(&mut self, _point: Point) {}
}

/// The view that one transaction has, which is rolled back if anything in it fails.
pub trait View {
    /// Looks at the log. `loaded` is the snapshot as of which the subscriptions are known.
    fn look(&mut self, loaded: &Snapshot) -> Result<Look, Failure>;

    /// Returns the changes in the notices that this snapshot does not show.
    fn changes(&mut self, loaded: &Snapshot) -> Result<Changes, Failure>;

    /// Returns the ids of all subscriptions.
    fn subscriptions(&mut self) -> Result<Vec<i64>, Failure>;

    /// Loads those of these subscriptions that exist, with what they wanted before changes that `oldest` does not show.
    fn load(&mut self, ids: &[i64], oldest: &Snapshot) -> Result<Vec<Loaded>, Failure>;

    /// Returns the limits that subscriptions share.
    fn limits(&mut self) -> Result<Limits, Failure>;

    /// Returns the events of the window from its next number up to `end`, without data larger than `largest`.
    fn slice(
        &mut self,
        window: &Window,
        end: i64,
        largest: i32,
        extent: Extent,
    ) -> Result<Slice, Failure>;

    /// Returns whether, as far as known, a crash may undo the commit of any of these events, because it was
    /// asynchronous.
    fn may_vanish(&mut self, window: &Window, events: &[Logged]) -> Result<bool, Failure>;

    /// Makes the commit flush everything that this transaction saw.
    fn flush_at_commit(&mut self);

    /// Returns which deliveries of these events are recorded: pairs of number and subscription.
    fn find_done(&mut self, events: &[Logged]) -> Result<BTreeSet<(i64, i64)>, Failure>;

    /// Stores the window as open.
    fn open(&mut self, window: &Window) -> Result<(), Failure>;

    /// Notes the event that the worker is working on, so that a death can be traced to it.
    fn is_at(&mut self, place: Place);

    /// Called at these points.
    fn reached(&mut self, _point: Point) {}
}

/// The pending deliveries to claim.
#[derive(Debug)]
pub struct Claim<'a> {
    pub subscription: i64,
    /// At most this many rows, after the due time and number in `after`.
    pub limit: usize,
    pub after: (i64, i64),
    pub now_micros: i64,
    /// Whether their events are wanted.
    pub with_events: bool,
    /// Numbers already claimed.
    pub claimed: &'a BTreeSet<i64>,
    /// Numbers whose events the worker died of reading.
    pub given_up: &'a [i64],
    /// Data larger than this is not read.
    pub largest: i32,
    /// Events beyond this many bytes are not read, except that of the first row.
    pub bytes: usize,
    /// For an ordered lane: rows that follow others are left out if their place is beyond this number.
    pub ordered_up_to: Option<i64>,
}

impl Claim<'_> {
    /// Returns whether the event of this row has to be read.
    pub fn wants_event(&self, due: &Due) -> bool {
        self.with_events
            && due.next_attempt_at <= self.now_micros
            && !due.is_behind
            && !self.claimed.contains(&due.seq)
            && !self.given_up.contains(&due.seq)
    }

    /// Returns how many rows of each of these keys to take at most.
    pub fn of_each(&self, keys: &[i64]) -> usize {
        (self.limit / keys.len().max(1)).max(1)
    }

    /// The same for a row of an ordered key, which can be sent.
    pub fn wants_follower(&self, due: &Due) -> bool {
        self.with_events && !self.given_up.contains(&due.seq)
    }
}

/// A row of `herald.pending`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Due {
    pub slot: i16,
    pub seq: i64,
    pub next_attempt_at: i64,
    pub attempts: u32,
    pub step: u32,
    pub created_at: i64,
    /// Its place among those that follow each other, and whether it follows another row.
    pub rank: Option<Rank>,
    pub is_behind: bool,
    /// Since when it has failed while others may wait behind it.
    pub blocks_since: Option<i64>,
}

/// The result of a claim.
#[derive(Debug, Default)]
pub struct Claims {
    pub rows: Vec<Due>,
    /// The wanted events, as far as they exist.
    pub events: Vec<Logged>,
    /// Whether these are all wanted events: they may be too large for one claim.
    pub is_complete: bool,
}

/// Scheduled deliveries that are due now.
#[derive(Debug, Default)]
pub struct Released {
    /// The subscriptions that have some.
    pub subscriptions: Vec<i64>,
    /// When the next one is to be released; it may have to wait for another session.
    pub next_at: Option<i64>,
}

/// Keys whose first row is parked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parked {
    pub keys: Vec<i64>,
    /// The last key that the walk passed; `None` at its end.
    pub last: Option<i64>,
    /// Whether dead letters hold keys.
    pub is_held: bool,
}

/// How hard to try to write a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Waits for locks, and writes around them if necessary.
    Whole,
    /// Writes around locks without waiting.
    AroundLocks,
    /// The same for records that were tried before. A record that is alone may take this long.
    Again(Duration),
    /// The last batch, when nothing else waits.
    Last,
}

/// The result of recording a batch.
#[derive(Debug, Default)]
pub struct Recorded {
    pub written: Vec<Record>,
    pub closed_windows: Vec<Closed>,
    /// The usage added to the tenants' accounts.
    pub usage: Accounts,
    /// Records that another session's lock held up. They can be tried again at any time.
    pub set_aside: Vec<Record>,
    /// How many of these were not tried for lack of time.
    pub untried: usize,
    /// Whether a record that was alone took too long.
    pub is_slow: bool,
    /// Why `left` was not written. Nothing is wrong with the records.
    pub failure: Option<Failure>,
    pub left: Vec<Record>,
    /// How long everything took.
    pub took: Duration,
}

/// The state of the settings that the worker was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configuration {
    Same,
    /// Settings of the database or the role were changed.
    Changed,
    /// The extension is not the one that the worker was started for.
    Gone,
}
