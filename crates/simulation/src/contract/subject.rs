//! What claims are played against, and what they do with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use herald_core::snapshot::Snapshot;
use herald_core::subscription::Subscription;
use herald_dispatch::log::{Logged, Position, Ring, SLICE_NUMBERS, Window};
use herald_dispatch::record::{Batch, End, Record};
use herald_dispatch::slices::Extent;
use herald_dispatch::store::{Claim, Claims, Effort, Store};
use herald_dispatch::tenants::Tenants;
use herald_dispatch::work::{Delivery, Origin};

/// A store, and what sessions do to its database. It begins with one active subscription, with id 1, that wants every
/// event and has nothing pending.
pub trait Subject {
    type Store: Store;

    fn store(&mut self) -> &mut Self::Store;
    /// Returns the time in microseconds since 1970.
    fn now(&self) -> i64;
    fn ring(&mut self) -> Ring;
    /// Begins a transaction that writes this many events.
    fn begin(&mut self, session: u8, events: u16);
    fn commit(&mut self, session: u8, is_flushed: bool);
    fn roll_back(&mut self, session: u8);
    fn subscription(&mut self) -> Arc<Subscription>;
    /// Changes the subscription's URL.
    fn change_url(&mut self);
    /// Limits the subscription's pending deliveries to `most`.
    fn limit_backlog(&mut self, most: u32);
    /// Discards all pending deliveries, as a user does.
    fn discard(&mut self);
    /// Returns where a worker that starts now continues to read.
    fn position(&mut self) -> Position;
    /// Returns whether that worker finds windows that were not closed.
    fn has_open_windows(&mut self) -> bool;
    /// Makes a session lock a pending delivery and keep the lock.
    fn lock(&mut self, seq: i64);
}

/// Looks at the log. Returns the window, its events, and whether they may vanish.
pub fn look(subject: &mut impl Subject, position: &mut Position) -> (Window, Vec<Logged>, bool) {
    let (ring, now) = (subject.ring(), subject.now());
    let seen = subject.store().glimpse(|view, before| {
        let look = view.look(&Snapshot::before_everything())?;
        let mut window = position.advance(&look, before, now, ring);
        let extent = Extent::Numbers(SLICE_NUMBERS);
        let end = window.slice_end(extent);
        let slice = view.slice(&window, end, i32::MAX, extent)?;
        window.take_in(&slice, end);
        let may_vanish = view.may_vanish(&window, &slice.events)?;
        Ok((window, slice.events, may_vanish))
    });
    seen.result.expect("nothing is wrong with the store")
}

pub fn delivery(subject: &mut impl Subject, logged: &Logged, origin: Origin) -> Delivery {
    let created_at_micros = subject.now();
    Delivery {
        created_at_micros,
        token: 0,
        event: Arc::new(logged.event.clone()),
        subscription: subject.subscription(),
        agent: Default::default(),
        origin,
        attempts: 0,
        step: 0,
        rank: None,
        blocks_since: None,
        scheduled_for: None,
    }
}

/// Makes pending deliveries of this many new events. Returns their numbers.
pub fn make_pending(subject: &mut impl Subject, events: u16) -> Vec<i64> {
    let mut position = subject.position();
    subject.begin(1, events);
    subject.commit(1, true);
    let (_, events, _) = look(subject, &mut position);
    let due = subject.now();
    let records = events.iter().map(|logged| {
        let delivery = delivery(subject, logged, Origin::Window(1));
        Record::unattempted(delivery, pending(due))
    });
    let records = records.collect();
    record(subject, records);
    events.iter().map(|logged| logged.event.seq).collect()
}

pub fn record(subject: &mut impl Subject, records: Vec<Record>) {
    let batch = Batch {
        records,
        closed_windows: Vec::new(),
    };
    let ring = subject.ring();
    let recorded = subject
        .store()
        .record(batch, Effort::Whole, ring, &Tenants::default());
    assert!(recorded.failure.is_none() && recorded.set_aside.is_empty());
}

pub fn claim(subject: &mut impl Subject, after: (i64, i64)) -> Claims {
    claim_within(subject, after, usize::MAX)
}

pub fn claim_within(subject: &mut impl Subject, after: (i64, i64), bytes: usize) -> Claims {
    let none = BTreeSet::new();
    let claim = whole_claim(subject, &none, after, bytes);
    subject
        .store()
        .claim(&claim)
        .result
        .expect("nothing is wrong with the store")
}

pub fn whole_claim<'a>(
    subject: &mut impl Subject,
    claimed: &'a BTreeSet<i64>,
    after: (i64, i64),
    bytes: usize,
) -> Claim<'a> {
    Claim {
        subscription: 1,
        limit: 20,
        after,
        now_micros: subject.now(),
        with_events: true,
        claimed,
        given_up: &[],
        largest: i32::MAX,
        bytes,
        ordered_up_to: None,
    }
}

pub fn pending(at_micros: i64) -> End {
    End::Pending { at_micros, step: 3 }
}
