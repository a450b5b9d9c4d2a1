//! Claims due deliveries from `herald.pending` into their lanes.
//!
//! Each database has one worker, so a claim is kept only in memory: after a crash all rows are still pending.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use herald_core::attempt::retry::DeadReason;
use herald_core::event::Event;

use crate::effects::{Effect, Effects};
use crate::failure::Failure;
use crate::lane::first_due;
use crate::lanes::Lanes;
use crate::lanes::entry::Entry;
use crate::ledger::Ledger;
use crate::record::{End, Record};
use crate::store::{Claim, Claims, Due, Point, Store, Took};
use crate::subscriptions::{Loaded, Subscriptions};
use crate::suspects::Suspects;
use crate::time::{Moment, Now};
use crate::tokens::Tokens;
use crate::work::{Delivery, Origin};

/// Sorts before every due time and number.
const BEFORE_ALL: (i64, i64) = (0, 0);

/// At most this many lanes are filled in one turn: those that have been due for longest.
const LANES_A_TURN: usize = 16;
/// No further lane is filled in a turn whose claims have taken this long.
const LONGEST: Duration = Duration::from_millis(2);
/// The table is asked for at most this many lanes at once.
const LANES_ASKED_AT_ONCE: usize = 500;

/// What has to be read from the table, because other sessions may have changed it.
#[derive(Debug, Default)]
pub struct Unknown {
    /// Lanes whose next due time was not yet read from the table.
    lanes: Vec<i64>,
    looked_at: Option<Moment>,
}

impl Unknown {
    /// Makes the next claim ask the table for all lanes.
    pub fn forget_all(&mut self) {
        self.looked_at = None;
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// The parts of the worker that claiming needs.
#[derive(Debug)]
pub struct Claiming<'a, S> {
    pub lanes: &'a mut Lanes,
    pub ledger: &'a mut Ledger,
    pub suspects: &'a Suspects,
    pub subscriptions: &'a Subscriptions,
    pub tokens: &'a mut Tokens,
    pub store: &'a mut S,
    pub effects: &'a mut Effects,
    /// All deliveries go through `herald.pending`.
    pub always_pending: bool,
}

impl<S: Store> Claiming<'_, S> {
    /// Fills lanes with due deliveries. Every `poll_interval`, asks the table for changes by other sessions.
    pub fn claim_due(
        &mut self,
        unknown: &mut Unknown,
        poll_interval: Duration,
        now: Now,
    ) -> Result<(), Failure> {
        let is_look_due = unknown
            .looked_at
            .is_none_or(|at| now.since(at) >= poll_interval);
        if is_look_due && unknown.lanes.is_empty() {
            unknown.lanes = self.lanes.ids();
            unknown.looked_at = Some(now.moment);
        }
        let first_due = self.lanes.survey().first_due;
        if !unknown.lanes.is_empty() {
            self.look_for_due(unknown)?;
        } else if first_due.is_none_or(|due| due > now.micros) {
            return Ok(());
        }
        self.fill_lanes(now)
    }

    fn fill_lanes(&mut self, now: Now) -> Result<(), Failure> {
        let (mut due, mut later, share) = (Vec::new(), None, self.lanes.share());
        for (id, entry) in self.lanes.iter() {
            match entry.due(share, now.micros) {
                Some(at) if at <= now.micros => due.push((at, id)),
                at => later = earliest(later, at),
            }
        }
        if due.len() > LANES_A_TURN {
            later = Some(now.micros);
        }
        let mut spent = Duration::ZERO;
        for id in first_due(due, LANES_A_TURN) {
            if spent >= LONGEST {
                later = Some(now.micros);
                break;
            }
            spent += self.claim_for(id, now)?;
            let share = self.lanes.share();
            let entry = self.lanes.get(id);
            let at = entry.and_then(|entry| entry.due(share, now.micros));
            later = earliest(later, at);
        }
        // If nothing is left, the lanes need no check before the next survey.
        self.lanes.expect_first_due(later);
        Ok(())
    }

    /// Asks the table, for some lanes, when their first pending delivery is due.
    fn look_for_due(&mut self, unknown: &mut Unknown) -> Result<(), Failure> {
        let rest = unknown.lanes.len().saturating_sub(LANES_ASKED_AT_ONCE);
        let asked = &unknown.lanes[rest..];
        let found = self.store.find_due(asked)?;
        for id in asked {
            if let Some(entry) = self.lanes.get(*id) {
                entry.claimed_to = None;
            }
        }
        for (id, at) in found {
            if let Some(entry) = self.lanes.get(id) {
                entry.expect_due(at);
            }
        }
        unknown.lanes.truncate(rest);
        Ok(())
    }

    /// Fills one lane. Returns how long it took. If an event cannot be read, claims by halves, and in the end claims its
    /// delivery without the event.
    fn claim_for(&mut self, id: i64, now: Now) -> Result<Duration, Failure> {
        let Some(most) = self.lanes.get(id).map(|entry| entry.claim_size.get()) else {
            return Ok(Duration::ZERO);
        };
        let Took { result, took } = self.claim_some(id, now, most, true);
        let failure = match result {
            Ok(rows) => {
                if let Some(entry) = self.lanes.get(id) {
                    entry.claim_size.took(rows, took.as_micros() as i64);
                }
                return Ok(took);
            }
            Err(failure) => failure,
        };
        if failure.damage.is_none() {
            return Err(failure);
        }
        if most > 1 {
            if let Some(entry) = self.lanes.get(id) {
                entry.claim_size.halve();
            }
            return Ok(took);
        }
        let Took { result, took } = self.claim_some(id, now, 1, false);
        result?;
        self.effects.push(Effect::Warn(format!(
            "an event that is pending for subscription {id} cannot be read, and its delivery is buried: {failure}"
        )));
        Ok(took)
    }

    /// Claims at most `most` deliveries, and returns the number of rows that were read. Without events, gives up the
    /// first.
    fn claim_some(&mut self, id: i64, now: Now, most: usize, with_events: bool) -> Took<usize> {
        let subscriptions = self.subscriptions;
        let share = self.lanes.share();
        let (Some(subscription), Some(entry)) = (subscriptions.by_id(id), self.lanes.get(id))
        else {
            return Took {
                result: Ok(0),
                took: Duration::ZERO,
            };
        };
        let wanted = entry.room(share, now.micros).min(most);
        let (limit, after) = match entry.claimed_to {
            Some(to) => (wanted, to),
            None => (wanted + entry.claimed.len(), BEFORE_ALL),
        };
        let given_up: Vec<i64> = self.suspects.given_up().collect();
        let Took { result, took } = self.store.claim(&Claim {
            subscription: id,
            limit,
            after,
            now_micros: now.micros,
            with_events,
            claimed: &entry.claimed,
            given_up: &given_up,
            largest: subscriptions.largest,
            bytes: entry.byte_room(share),
        });
        let claims = match result {
            Ok(claims) => claims,
            Err(failure) => {
                return Took {
                    result: Err(failure),
                    took,
                };
            }
        };
        let rows = claims.rows.len();
        let reached_end = rows < limit;
        let found = Found::of(claims, entry, now.micros, after, with_events, &given_up);
        take_over(&found, reached_end, entry, now.micros, self.always_pending);
        if !found.taken.is_empty() {
            self.store.reached(Point::AfterClaim);
        }
        for (due, event) in found.taken {
            self.claim(due, event, subscription, now);
        }
        self.lanes.make_ready(id);
        Took {
            result: Ok(rows),
            took,
        }
    }

    fn claim(&mut self, due: Due, event: Option<Event>, loaded: &Loaded, now: Now) {
        let lost = event.is_none();
        let event = event.unwrap_or_else(|| Event {
            seq: due.seq,
            slot: due.slot,
            ..Event::new("", "", "", now.micros)
        });
        let delivery = Delivery {
            token: self.tokens.give(),
            event: Arc::new(event),
            subscription: Arc::clone(&loaded.config),
            agent: loaded.agent.clone(),
            origin: Origin::Pending,
            attempts: due.attempts,
            step: due.step,
            created_at_micros: due.created_at,
        };
        let max_age = loaded.config.max_age.map(|age| age.as_micros() as i64);
        let is_expired = max_age.is_some_and(|age| due.created_at.saturating_add(age) < now.micros);
        self.ledger.take_up(&delivery);
        let Some(entry) = self.lanes.claim(&delivery) else {
            return;
        };
        let reason = match (lost, is_expired) {
            (false, false) => return entry.lane.push(delivery, now.micros),
            (true, _) => DeadReason::Poison,
            (false, true) => DeadReason::Expired,
        };
        let record = Record::unattempted(delivery, End::Dead(reason));
        self.ledger.settle(record, self.lanes, now);
    }
}

/// The result of a claim.
#[derive(Debug)]
struct Found {
    /// Claimed deliveries, each with its event unless that is lost.
    taken: Vec<(Due, Option<Event>)>,
    /// When the first unclaimed delivery among the rows read is due.
    next_due: Option<i64>,
    /// The due time and number up to which everything is claimed.
    claimed_to: (i64, i64),
    /// Whether the rows were read from the beginning.
    is_from_start: bool,
}

impl Found {
    fn of(
        claims: Claims,
        entry: &Entry,
        now_micros: i64,
        after: (i64, i64),
        with_events: bool,
        given_up: &[i64],
    ) -> Self {
        let mut events: BTreeMap<i64, Event> = claims
            .events
            .into_iter()
            .map(|logged| (logged.event.seq, logged.event))
            .collect();
        let mut found = Self {
            taken: Vec::new(),
            next_due: None,
            claimed_to: after,
            is_from_start: after == BEFORE_ALL,
        };
        for due in claims.rows {
            if due.next_attempt_at > now_micros {
                found.next_due = found.next_due.or(Some(due.next_attempt_at));
                break;
            }
            if !entry.claimed.contains(&due.seq) {
                if !with_events && !found.taken.is_empty() {
                    // Only the first is given up.
                    found.next_due = Some(now_micros);
                    break;
                }
                match events.remove(&due.seq) {
                    // No room was left for its event.
                    None if !claims.is_complete && !given_up.contains(&due.seq) => {
                        found.next_due = Some(now_micros);
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

/// Updates what the lane knows of its pending deliveries.
fn take_over(
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
    let is_nothing_left = found.taken.is_empty() && entry.claimed.is_empty() && is_nothing_due;
    entry.claimed_to = Some(found.claimed_to);
    entry.next_due = next_due;
    if is_nothing_left && !found.is_from_start {
        // To be sure, read everything once more.
        entry.claimed_to = None;
        entry.next_due = Some(now_micros);
    } else if is_nothing_left && entry.unrecorded == 0 && !always_pending {
        entry.lane.unspill();
    }
}

fn earliest(first: Option<i64>, second: Option<i64>) -> Option<i64> {
    first.into_iter().chain(second).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Empty, at, due, loaded, logged};

    fn claims(rows: &[Due], events: &[i64], is_complete: bool) -> Claims {
        Claims {
            rows: rows.to_vec(),
            events: events.iter().copied().map(logged).collect(),
            is_complete,
        }
    }

    fn lanes() -> Lanes {
        let mut lanes = Lanes::default();
        lanes.configure(&loaded(1), &Default::default());
        lanes
    }

    fn taken(found: &Found) -> Vec<(i64, bool)> {
        let taken = found.taken.iter();
        taken
            .map(|(due, event)| (due.seq, event.is_some()))
            .collect()
    }

    #[test]
    fn what_is_claimed_already_is_passed_by_and_what_is_not_due_waits() {
        let mut lanes = lanes();
        let entry = lanes.get(1).unwrap();
        entry.claimed.insert(1);
        let claims = claims(&[due(1, 5), due(2, 6), due(3, 11)], &[2], true);
        let found = Found::of(claims, entry, 10, BEFORE_ALL, true, &[]);
        assert_eq!(taken(&found), [(2, true)]);
        assert_eq!((found.next_due, found.claimed_to), (Some(11), (6, 2)));
    }

    #[test]
    fn an_event_for_which_there_was_no_room_is_claimed_next_and_one_that_is_lost_is_buried() {
        let mut lanes = lanes();
        let entry = lanes.get(1).unwrap();
        let rows = [due(1, 1), due(2, 2), due(3, 3)];
        let found = Found::of(
            claims(&rows, &[1], false),
            entry,
            10,
            BEFORE_ALL,
            true,
            &[2],
        );
        assert_eq!(taken(&found), [(1, true), (2, false)]);
        assert_eq!((found.next_due, found.claimed_to), (Some(10), (2, 2)));
        let found = Found::of(
            claims(&rows, &[1, 3], true),
            entry,
            10,
            BEFORE_ALL,
            true,
            &[],
        );
        assert_eq!(taken(&found), [(1, true), (2, false), (3, true)]);
    }

    /// Plays turns with these lanes, each with 200 pending deliveries, of which each takes this long to claim. Returns
    /// after each turn how many each lane has claimed.
    fn turns(ids: &[i64], micros_each: u64, turns: usize) -> Vec<Vec<usize>> {
        let mut subscriptions = Subscriptions::unloaded();
        subscriptions.put_all(ids, ids.iter().copied().map(loaded).collect());
        let mut lanes = Lanes::default();
        for id in ids {
            lanes.configure(&loaded(*id), &Default::default());
            let entry = lanes.get(*id).unwrap();
            entry.lane.succeeded(0);
            entry.next_due = Some(*id);
        }
        let mut claiming = Claiming {
            lanes: &mut lanes,
            ledger: &mut Ledger::default(),
            suspects: &Suspects::default(),
            subscriptions: &subscriptions,
            tokens: &mut Tokens::default(),
            store: &mut Empty {
                pending: 200,
                micros_each,
                ..Empty::default()
            },
            effects: &mut Effects::new(),
            always_pending: false,
        };
        let turn = |_| {
            claiming.fill_lanes(at(1)).unwrap();
            let entries = claiming.lanes.iter();
            entries.map(|(_, entry)| entry.claimed.len()).collect()
        };
        (0..turns).map(turn).collect()
    }

    #[test]
    fn a_turn_claims_for_a_while_and_the_next_turn_goes_on_with_the_other_lanes() {
        let claimed = turns(&[1, 2, 3], 20, 2);
        assert_eq!(claimed, [[64, 64, 0], [145, 64, 64]]);
    }

    #[test]
    fn a_lane_claims_more_at_once_while_that_is_quick_and_fewer_if_it_is_slow() {
        assert_eq!(turns(&[1], 5, 3), [[64], [192], [200]]);
        assert_eq!(turns(&[1], 100, 3), [[64], [79], [94]]);
    }

    #[test]
    fn only_the_first_is_given_up_at_once() {
        let mut lanes = lanes();
        let entry = lanes.get(1).unwrap();
        let rows = [due(1, 1), due(2, 2)];
        let found = Found::of(claims(&rows, &[], true), entry, 10, BEFORE_ALL, false, &[]);
        assert_eq!(taken(&found), [(1, false)]);
        assert_eq!(found.next_due, Some(10));
    }

    #[test]
    fn a_lane_is_fed_by_the_reader_again_when_nothing_is_left_from_the_beginning_on() {
        let unspilled = |after, unrecorded, always_pending| {
            let mut lanes = lanes();
            let entry = lanes.get(1).unwrap();
            drop(entry.lane.spill());
            entry.unrecorded = unrecorded;
            let found = Found::of(claims(&[], &[], true), entry, 10, after, true, &[]);
            take_over(&found, true, entry, 10, always_pending);
            (!entry.lane.is_spilled(), entry.next_due)
        };
        assert_eq!(unspilled(BEFORE_ALL, 0, false), (true, None));
        assert_eq!(unspilled(BEFORE_ALL, 1, false), (false, None));
        assert_eq!(unspilled(BEFORE_ALL, 0, true), (false, None));
        // To be sure, everything is read once more.
        assert_eq!(unspilled((5, 5), 0, false), (false, Some(10)));
    }
}
