//! What a claim found among the rows that it read.

use std::collections::BTreeMap;

use herald_core::event::Event;

use crate::lanes::entry::Entry;
use crate::log::Logged;
use crate::store::{Claim, Claims, Due};

/// Sorts before every due time and number.
pub const BEFORE_ALL: (i64, i64) = (0, 0);

/// The result of a claim.
#[derive(Debug)]
pub(super) struct Found {
    /// Claimed deliveries, each with its event unless that is lost.
    pub taken: Vec<(Due, Option<Event>)>,
    /// When the first unclaimed delivery among the rows read is due.
    pub next_due: Option<i64>,
    /// The due time and number up to which everything is claimed.
    pub claimed_to: (i64, i64),
    /// Whether the rows were read from the beginning.
    is_from_start: bool,
    /// Due rows that follow others, and have to be parked.
    pub parked: Vec<Due>,
}

impl Found {
    pub fn of(claims: Claims, claim: &Claim<'_>) -> Self {
        let mut events = by_number(claims.events);
        let mut found = Self {
            taken: Vec::new(),
            next_due: None,
            claimed_to: claim.after,
            is_from_start: claim.after == BEFORE_ALL,
            parked: Vec::new(),
        };
        for due in claims.rows {
            if due.next_attempt_at > claim.now_micros {
                found.next_due = found.next_due.or(Some(due.next_attempt_at));
                break;
            }
            if claim.claimed.contains(&due.seq) {
                // It is here.
            } else if due.is_behind {
                found.parked.push(due);
            } else if !claim.with_events && !found.taken.is_empty() {
                // Only the first is given up.
                found.next_due = Some(claim.now_micros);
                break;
            } else {
                match events.remove(&due.seq) {
                    // No room was left for its event.
                    None if !claims.is_complete && !claim.given_up.contains(&due.seq) => {
                        found.next_due = Some(claim.now_micros);
                    }
                    event => found.taken.push((due, event)),
                }
            }
            if found.next_due.is_none() {
                found.claimed_to = (due.next_attempt_at, due.seq);
            }
        }
        found
    }
}

/// Returns events by their numbers.
pub(super) fn by_number(events: Vec<Logged>) -> BTreeMap<i64, Event> {
    let events = events.into_iter().map(|logged| logged.event);
    events.map(|event| (event.seq, event)).collect()
}

/// Updates what the lane knows of its pending deliveries.
pub(super) fn take_over(
    found: &Found,
    reached_end: bool,
    entry: &mut Entry,
    now_micros: i64,
    always_pending: bool,
) {
    let next_due = match found.next_due {
        None if !reached_end => Some(now_micros),
        next_due => next_due,
    };
    let is_nothing_due = next_due.is_none_or(|due| due > now_micros);
    let is_nothing_here = found.taken.is_empty() && entry.claimed.is_empty();
    let is_nothing_left = is_nothing_here && is_nothing_due && entry.unrecorded == 0;
    entry.claimed_to = Some(found.claimed_to);
    entry.next_due = next_due;
    if is_nothing_here && is_nothing_due && !found.is_from_start {
        // To be sure, read everything once more.
        entry.claimed_to = None;
        entry.next_due = Some(now_micros);
    } else if is_nothing_left && !always_pending {
        // Of an ordered lane, nothing may wait for a retry either.
        let is_ordered = entry.order.by().is_some();
        if !is_ordered || next_due.is_none() && entry.order.is_open() {
            entry.lane.unspill();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use herald_core::subscription::ordering::OrderedBy;

    use super::*;
    use crate::order::PARKED;
    use crate::store::Parked;
    use crate::testing::{due, logged};

    fn claims(rows: &[Due], events: &[i64], is_complete: bool) -> Claims {
        Claims {
            rows: rows.to_vec(),
            events: events.iter().copied().map(logged).collect(),
            is_complete,
        }
    }

    /// Returns the claim, at 10, of a lane that has claimed some.
    fn claim(claimed: &BTreeSet<i64>) -> Claim<'_> {
        Claim {
            subscription: 1,
            limit: 100,
            after: BEFORE_ALL,
            now_micros: 10,
            with_events: true,
            claimed,
            given_up: &[],
            largest: i32::MAX,
            bytes: usize::MAX,
            ordered_up_to: None,
        }
    }

    fn taken(found: &Found) -> Vec<(i64, bool)> {
        let taken = found.taken.iter();
        taken
            .map(|(due, event)| (due.seq, event.is_some()))
            .collect()
    }

    #[test]
    fn what_is_claimed_already_is_passed_by_and_what_is_not_due_waits() {
        let claims = claims(&[due(1, 5), due(2, 6), due(3, 11)], &[2], true);
        let found = Found::of(claims, &claim(&[1].into()));
        assert_eq!(taken(&found), [(2, true)]);
        assert_eq!((found.next_due, found.claimed_to), (Some(11), (6, 2)));
    }

    #[test]
    fn an_event_for_which_there_was_no_room_is_claimed_next_and_one_that_is_lost_is_buried() {
        let rows = [due(1, 1), due(2, 2), due(3, 3)];
        let none = BTreeSet::new();
        let of_a_few = Claim {
            given_up: &[2],
            ..claim(&none)
        };
        let found = Found::of(claims(&rows, &[1], false), &of_a_few);
        assert_eq!(taken(&found), [(1, true), (2, false)]);
        assert_eq!((found.next_due, found.claimed_to), (Some(10), (2, 2)));
        let found = Found::of(claims(&rows, &[1, 3], true), &claim(&BTreeSet::new()));
        assert_eq!(taken(&found), [(1, true), (2, false), (3, true)]);
    }

    #[test]
    fn only_the_first_is_given_up_at_once() {
        let rows = [due(1, 1), due(2, 2)];
        let none = BTreeSet::new();
        let without_events = Claim {
            with_events: false,
            ..claim(&none)
        };
        let found = Found::of(claims(&rows, &[], true), &without_events);
        assert_eq!(taken(&found), [(1, false)]);
        assert_eq!(found.next_due, Some(10));
    }

    #[test]
    fn one_that_follows_another_is_parked() {
        let behind = Due {
            is_behind: true,
            ..due(2, 2)
        };
        let found = Found::of(
            claims(&[due(1, 1), behind], &[1, 2], true),
            &claim(&BTreeSet::new()),
        );
        assert_eq!(taken(&found), [(1, true)]);
        assert_eq!(found.parked.len(), 1);
        assert_eq!((found.next_due, found.claimed_to), (None, (2, 2)));
    }

    /// Returns what a lane with this order, and with so many deliveries that are not recorded, does after a claim that
    /// found nothing but rows with these due times.
    fn after_nothing(
        by: Option<OrderedBy>,
        rows: &[Due],
        after: (i64, i64),
        unrecorded: usize,
        always_pending: bool,
    ) -> Entry {
        let mut entry = Entry::new(1);
        entry.order.configure(by, &mut entry.lane);
        entry.order.walked(Parked::default());
        drop(entry.lane.spill());
        entry.unrecorded = unrecorded;
        let none = BTreeSet::new();
        let from_there = Claim {
            after,
            ..claim(&none)
        };
        let found = Found::of(claims(rows, &[], true), &from_there);
        take_over(&found, true, &mut entry, 10, always_pending);
        entry
    }

    #[test]
    fn a_lane_is_fed_by_the_reader_again_when_nothing_is_left_from_the_beginning_on() {
        for by in [None, Some(OrderedBy::Key)] {
            let unspilled = |after, unrecorded, always_pending| {
                let entry = after_nothing(by, &[], after, unrecorded, always_pending);
                (!entry.lane.is_spilled(), entry.next_due)
            };
            assert_eq!(unspilled(BEFORE_ALL, 0, false), (true, None));
            assert_eq!(unspilled(BEFORE_ALL, 1, false), (false, None));
            assert_eq!(unspilled(BEFORE_ALL, 0, true), (false, None));
            // To be sure, everything is read once more.
            assert_eq!(unspilled((5, 5), 0, false), (false, Some(10)));
        }
    }

    #[test]
    fn only_a_lane_without_an_order_is_fed_by_the_reader_while_something_waits_for_a_retry() {
        let unspilled = |by, at| {
            let entry = after_nothing(by, &[due(1, at)], BEFORE_ALL, 0, false);
            !entry.lane.is_spilled()
        };
        assert!(unspilled(None, 20));
        assert!(!unspilled(Some(OrderedBy::Key), 20));
        assert!(!unspilled(Some(OrderedBy::Key), PARKED));
    }
}
