//! Claims about deliveries that follow each other.

use std::collections::BTreeSet;

use herald_dispatch::lane::keys::Rank;
use herald_dispatch::order::PARKED;
use herald_dispatch::record::Record;
use herald_dispatch::store::{Claim, Due, Parked, Store};
use herald_dispatch::work::{Delivery, Origin};

use super::subject::{Subject, delivery, look, pending, record, whole_claim};

/// Makes three pending deliveries of each of two keys, parked but for the first of the second key, which is due in an
/// hour. Returns their numbers.
fn make_ordered(subject: &mut impl Subject) -> Vec<i64> {
    let mut position = subject.position();
    subject.begin(1, 6);
    subject.commit(1, true);
    let (_, events, _) = look(subject, &mut position);
    let later = subject.now() + 3_600_000_000;
    let mut records = Vec::new();
    for (place, logged) in events.iter().enumerate() {
        let at = if place == 3 { later } else { PARKED };
        let (key, seq) = (if place < 3 { 7 } else { 8 }, logged.event.seq);
        let ranked = Delivery {
            rank: Some(Rank { key, at: seq, seq }),
            ..delivery(subject, logged, Origin::Window(1))
        };
        records.push(Record::unattempted(ranked, pending(at)));
    }
    record(subject, records);
    events.iter().map(|logged| logged.event.seq).collect()
}

/// Of a key, rows are claimed in their order, and none behind one that waits; a walk finds keys whose first row is parked.
pub fn a_key_is_claimed_from_its_first_row_on(subject: &mut impl Subject) {
    let seqs = make_ordered(subject);
    let store = subject.store();
    let mut parked = |after, most| store.find_parked(1, after, most).result.ok();
    let keys = |keys: &[i64], last| {
        let keys = keys.to_vec();
        Some(Parked {
            keys,
            last,
            is_held: false,
        })
    };
    assert_eq!(parked(None, 10), keys(&[7], None));
    assert_eq!(parked(None, 1), keys(&[7], Some(7)));
    assert_eq!(parked(Some(7), 10), keys(&[], None));
    let mut found = |limit, up_to| {
        let none = BTreeSet::new();
        let claim = Claim {
            limit,
            ordered_up_to: Some(up_to),
            ..whole_claim(subject, &none, (0, 0), usize::MAX)
        };
        let claims = subject.store().claim_keys(&claim, &[7, 8]);
        let claims = claims.result.expect("nothing is wrong with the store");
        let rows: Vec<i64> = claims.rows.iter().map(|due| due.seq).collect();
        (rows, claims.events.len())
    };
    assert_eq!(found(20, i64::MAX), (seqs[..3].to_vec(), 3));
    assert_eq!(found(4, i64::MAX), (seqs[..2].to_vec(), 2));
    assert_eq!(found(20, seqs[0]), (seqs[..1].to_vec(), 1));
}

/// What is parked without need is made due, and what is due out of its turn is known.
pub fn what_follows_nothing_any_longer_is_due(subject: &mut impl Subject) {
    let seqs = make_ordered(subject);
    let store = subject.store();
    assert_eq!(store.unpark(1, 1).result.ok(), Some(1));
    let first = vec![(seqs[0], None, false), (seqs[3], Some(8), false)];
    assert_eq!(due(subject), first);
    // Beside what is due, no row takes a place.
    assert_eq!(rows(subject, 2).len(), 2);
    assert_eq!(subject.store().unpark(1, 10).result.ok(), Some(4));
    assert_eq!(subject.store().unpark(1, 10).result.ok(), Some(0));
    assert_eq!(due(subject).len(), 6);
}

/// Returns the numbers, keys, and whether they follow another one, of the rows that have a due time.
fn due(subject: &mut impl Subject) -> Vec<(i64, Option<i64>, bool)> {
    let rows = rows(subject, 20);
    let due = rows.iter().filter(|due| due.next_attempt_at < PARKED);
    due.map(|due| (due.seq, due.rank.map(|rank| rank.key), due.is_behind))
        .collect()
}

/// Returns at most so many rows of an ordered lane, in the order of their due times.
fn rows(subject: &mut impl Subject, limit: usize) -> Vec<Due> {
    let none = BTreeSet::new();
    let claim = Claim {
        limit,
        ordered_up_to: Some(i64::MAX),
        ..whole_claim(subject, &none, (0, 0), usize::MAX)
    };
    let claims = subject.store().claim(&claim).result;
    claims.expect("nothing is wrong with the store").rows
}
