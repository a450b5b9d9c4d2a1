//! The contract that a store has to keep, so that the simulation proves something about the real store: claims that are
//! each played against a [`Subject`].
//!
//! A test below plays them against the modelled store, a test in `pgrx-tests/contract.rs` against `src/store`.

mod ordered;
mod subject;

use std::collections::BTreeSet;

use herald_core::attempt::outcome::Outcome;
use herald_core::attempt::retry::DeadReason;
use herald_core::snapshot::Snapshot;
use herald_dispatch::ended::{Ended, Gone};
use herald_dispatch::log::window_slot;
use herald_dispatch::record::{Attempt, Batch, End, Record};
use herald_dispatch::store::{Effort, Store};
use herald_dispatch::tenants::Tenants;
use herald_dispatch::walk::Walk;
use herald_dispatch::work::{Delivery, Origin};

use self::ordered::{
    a_key_is_claimed_from_its_first_row_on, what_follows_nothing_any_longer_is_due,
};
pub use self::subject::Subject;
use self::subject::{claim, claim_within, delivery, look, make_pending, pending, record};

/// A claim about a store, with its name.
pub type Claimed<S> = (&'static str, fn(&mut S));

/// Returns all claims, with their names. Each is played against its own subject.
pub fn claims<S: Subject>() -> [Claimed<S>; 12] {
    macro_rules! named {
        ($($claim:ident),+ $(,)?) => { [$((stringify!($claim), $claim as fn(&mut S))),+] };
    }
    named![
        a_look_finds_what_became_visible,
        commits_that_may_vanish_are_reported,
        a_window_stays_open_until_it_is_closed,
        recorded_deliveries_are_done,
        claims_come_in_the_order_in_which_they_are_due,
        a_key_is_claimed_from_its_first_row_on,
        what_follows_nothing_any_longer_is_due,
        discarded_deliveries_stay_discarded,
        locked_deliveries_block_no_others,
        only_the_current_url_can_be_gone,
        a_backlog_is_cut_to_its_oldest,
        notices_are_told_until_they_are_taken_over,
    ]
}

/// A look finds, exactly once, what was committed since the look before, whenever its numbers were drawn.
pub fn a_look_finds_what_became_visible(subject: &mut impl Subject) {
    let mut position = subject.position();
    subject.begin(1, 2);
    subject.begin(2, 1);
    subject.commit(2, true);
    assert_eq!(look(subject, &mut position).1.len(), 1);
    subject.begin(3, 1);
    subject.roll_back(3);
    assert_eq!(look(subject, &mut position).1.len(), 0);
    subject.commit(1, true);
    assert_eq!(look(subject, &mut position).1.len(), 2);
    assert_eq!(look(subject, &mut position).1.len(), 0);
}

/// A commit may vanish until it is flushed, and not afterwards.
pub fn commits_that_may_vanish_are_reported(subject: &mut impl Subject) {
    let mut position = subject.position();
    subject.begin(1, 1);
    subject.commit(1, false);
    assert!(look(subject, &mut position).2);
    subject.begin(1, 1);
    subject.commit(1, true);
    assert!(!look(subject, &mut position).2);
}

/// The next worker finds an opened window until it is closed.
pub fn a_window_stays_open_until_it_is_closed(subject: &mut impl Subject) {
    let mut position = subject.position();
    subject.begin(1, 1);
    subject.commit(1, true);
    let (mut window, ..) = look(subject, &mut position);
    window.number = 7;
    assert!(!subject.has_open_windows());
    let opened = subject.store().glimpse(|view, _| view.open(&window));
    opened.result.expect("nothing is wrong with the store");
    assert!(subject.has_open_windows());
    let batch = Batch {
        records: Vec::new(),
        closed_windows: vec![(7, window_slot(7))],
    };
    let ring = subject.ring();
    let recorded = subject
        .store()
        .record(batch, Effort::Whole, ring, &Tenants::default());
    assert_eq!(recorded.closed_windows, [(7, window_slot(7))]);
    assert!(!subject.has_open_windows());
}

/// A delivery that is recorded in any form is done.
pub fn recorded_deliveries_are_done(subject: &mut impl Subject) {
    let mut position = subject.position();
    subject.begin(1, 4);
    subject.commit(1, true);
    let (_, events, _) = look(subject, &mut position);
    let ends = [End::Delivered, pending(5), End::Dead(DeadReason::Exhausted)];
    let records = events.iter().zip(ends).map(|(logged, end)| {
        let attempt = Attempt {
            started_at_micros: subject.now(),
            outcome: Outcome::answered(200, Default::default(), None, String::new()),
        };
        Record {
            attempt: (end == End::Delivered).then_some(attempt),
            ..Record::unattempted(delivery(subject, logged, Origin::Window(1)), end)
        }
    });
    let records = records.collect();
    record(subject, records);
    let done = subject.store().glimpse(|view, _| view.find_done(&events));
    let expected = events[..3]
        .iter()
        .map(|logged| (logged.event.seq, 1))
        .collect();
    assert_eq!(done.result.ok(), Some(expected));
}

/// Claims come in the order of their due times, continue after the last delivery, and bring events and counters.
pub fn claims_come_in_the_order_in_which_they_are_due(subject: &mut impl Subject) {
    let mut position = subject.position();
    subject.begin(1, 3);
    subject.commit(1, true);
    let (_, events, _) = look(subject, &mut position);
    let mut records = Vec::new();
    for (logged, at) in events.iter().zip([30, 10, 20]) {
        let delivery = delivery(subject, logged, Origin::Window(1));
        records.push(Record::unattempted(delivery, pending(at)));
    }
    record(subject, records);
    let claims = claim(subject, (0, 0));
    let due: Vec<i64> = claims.rows.iter().map(|due| due.next_attempt_at).collect();
    assert_eq!((due, claims.events.len()), (vec![10, 20, 30], 3));
    assert!(claims.rows.iter().all(|due| due.step == 3));
    let first = &claims.rows[0];
    assert_eq!(
        claim(subject, (first.next_attempt_at, first.seq))
            .rows
            .len(),
        2
    );
    let first_alone = claim_within(subject, (0, 0), 0);
    let seqs: Vec<i64> = first_alone
        .events
        .iter()
        .map(|logged| logged.event.seq)
        .collect();
    assert_eq!((seqs, first_alone.is_complete), (vec![first.seq], false));
    let due = subject.store().find_due(&[1, 2]);
    assert_eq!(due.ok(), Some(vec![(1, 10)]));
}

/// A delivery that was discarded while being sent does not return to pending.
pub fn discarded_deliveries_stay_discarded(subject: &mut impl Subject) {
    let mut position = subject.position();
    subject.begin(1, 1);
    subject.commit(1, true);
    let (_, events, _) = look(subject, &mut position);
    let first = delivery(subject, &events[0], Origin::Window(1));
    record(
        subject,
        vec![Record::unattempted(first.clone(), pending(5))],
    );
    subject.discard();
    let again = Delivery {
        origin: Origin::Pending,
        ..first
    };
    record(subject, vec![Record::unattempted(again, pending(6))]);
    assert!(claim(subject, (0, 0)).rows.is_empty());
}

/// A delivery that a session has locked does not stop others from being recorded.
pub fn locked_deliveries_block_no_others(subject: &mut impl Subject) {
    let mut position = subject.position();
    subject.begin(1, 3);
    subject.commit(1, true);
    let (_, events, _) = look(subject, &mut position);
    let now = subject.now();
    let mut with = |origin, end| {
        let records = events.iter().map(|logged| {
            let delivery = delivery(subject, logged, origin);
            Record::unattempted(delivery, end)
        });
        records.collect::<Vec<_>>()
    };
    let first = with(Origin::Window(1), pending(now));
    let again = with(Origin::Pending, pending(now + 1));
    record(subject, first);
    let locked = events[1].event.seq;
    subject.lock(locked);
    let (batch, ring) = (
        Batch {
            records: again,
            closed_windows: Vec::new(),
        },
        subject.ring(),
    );
    let recorded = subject
        .store()
        .record(batch, Effort::Whole, ring, &Tenants::default());
    let seqs = |records: &[Record]| -> BTreeSet<i64> {
        let seqs = records.iter().map(|record| record.delivery.event.seq);
        seqs.collect()
    };
    assert_eq!(seqs(&recorded.set_aside), BTreeSet::from([locked]));
    assert_eq!((recorded.written.len(), recorded.left.len()), (2, 0));
}

/// A receiver that is gone at a former URL disables nothing; at the current URL it does, and its pending deliveries are
/// buried.
pub fn only_the_current_url_can_be_gone(subject: &mut impl Subject) {
    let seqs = make_pending(subject, 2);
    let former = subject.subscription().generation;
    subject.change_url();
    let gone = |generation| Gone {
        subscription: 1,
        generation,
        reason: "gone".into(),
    };
    let store = subject.store();
    assert!(store.disable(&gone(former)).is_ok());
    assert!(store.find_ended(0).is_ok_and(|ended| ended.is_empty()));
    assert!(store.disable(&gone(former + 1)).is_ok());
    let mut ended = store
        .find_ended(0)
        .expect("nothing is wrong with the store");
    let ended: Ended = ended.pop_front().expect("something is pending for it");
    let buried = store
        .bury(&ended, 1)
        .result
        .expect("nothing is wrong with the store");
    assert_eq!((buried.count, buried.up_to), (1, Some(seqs[0])));
    assert_eq!(claim(subject, (0, 0)).rows.len(), 1);
}

/// Only the newest deliveries of a backlog, its excess, are buried.
pub fn a_backlog_is_cut_to_its_oldest(subject: &mut impl Subject) {
    let seqs = make_pending(subject, 12);
    subject.limit_backlog(9);
    let (mut walk, mut buried) = (
        Walk {
            id: 1,
            passed: 0,
            after_seq: -1,
        },
        0,
    );
    loop {
        let shed = subject.store().shed(walk, 2);
        let shed = shed.result.expect("nothing is wrong with the store");
        buried += shed.buried;
        if shed.is_over {
            break;
        }
        walk = Walk {
            passed: shed.passed,
            after_seq: shed.after_seq,
            ..walk
        };
    }
    let claims = claim(subject, (0, 0));
    let left: Vec<i64> = claims.rows.iter().map(|due| due.seq).collect();
    assert_eq!((buried, left.as_slice()), (3, &seqs[..9]));
}

/// A notice is reported until the worker adopts a snapshot that shows it; only such notices are deleted.
pub fn notices_are_told_until_they_are_taken_over(subject: &mut impl Subject) {
    let before = snapshot(subject);
    subject.change_url();
    let after = snapshot(subject);
    let store = subject.store();
    assert!(store.forget_changes(&before).is_ok());
    let ids = |store: &mut _, loaded: &Snapshot| -> BTreeSet<i64> {
        let seen = Store::glimpse(store, |view, _| Ok(view.changes(loaded)?.wanted.ids));
        seen.result.expect("nothing is wrong with the store")
    };
    assert_eq!(ids(store, &before), BTreeSet::from([1]));
    assert!(ids(store, &after).is_empty());
    assert!(store.forget_changes(&after).is_ok());
    assert!(ids(store, &before).is_empty());
}

fn snapshot(subject: &mut impl Subject) -> Snapshot {
    let seen = subject
        .store()
        .glimpse(|view, _| Ok(view.look(&Snapshot::before_everything())?.snapshot));
    seen.result.expect("nothing is wrong with the store")
}

#[cfg(test)]
mod tests;
