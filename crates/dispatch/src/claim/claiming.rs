//! Fills lanes with what is due, those first that have been due for longest.

use std::sync::Arc;
use std::time::Duration;

use herald_core::attempt::retry::DeadReason;
use herald_core::event::Event;

use super::found::{BEFORE_ALL, Found, take_over};
use crate::effects::{Effect, Effects};
use crate::failure::Failure;
use crate::lane::first_due;
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::order::PARKED;
use crate::record::{End, Record};
use crate::store::{Claim, Due, Point, Store, Took};
use crate::subscriptions::{Loaded, Subscriptions};
use crate::suspects::Suspects;
use crate::time::{Moment, Now};
use crate::tokens::Tokens;
use crate::work::{Delivery, Origin};

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
    /// While older windows are read, events with higher numbers may follow some that are not read yet.
    pub read_up_to: Option<i64>,
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
                if at == PARKED {
                    // All that it has is parked. What it waited for may be gone.
                    entry.order.look();
                }
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
        let (share, read_up_to) = (self.lanes.share(), self.read_up_to);
        let (Some(subscription), Some(entry)) = (subscriptions.by_id(id), self.lanes.get(id))
        else {
            return Took {
                result: Ok(0),
                took: Duration::ZERO,
            };
        };
        if let Some(question) = entry.ask(read_up_to, now.micros) {
            return self.ask(question, subscription, now, most, with_events);
        }
        let is_ordered = entry.order.by().is_some();
        let wanted = entry.room(share, now.micros).min(most);
        let (limit, after) = match entry.claimed_to {
            Some(to) => (wanted, to),
            None => (wanted + entry.claimed.len(), BEFORE_ALL),
        };
        let given_up: Vec<i64> = self.suspects.given_up().collect();
        let claim = Claim {
            subscription: id,
            limit,
            after,
            now_micros: now.micros,
            with_events,
            claimed: &entry.claimed,
            given_up: &given_up,
            largest: subscriptions.largest,
            bytes: entry.byte_room(share),
            ordered_up_to: is_ordered.then_some(read_up_to.unwrap_or(i64::MAX)),
        };
        let Took { result, took } = self.store.claim(&claim);
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
        let found = Found::of(claims, &claim);
        take_over(&found, rows < limit, entry, now.micros, self.always_pending);
        if is_ordered && read_up_to.is_some() {
            entry.wait_for_older(now.micros);
        }
        for due in found.parked {
            self.park(due, subscription, now);
        }
        self.take(found.taken, subscription, now);
        Took {
            result: Ok(rows),
            took,
        }
    }

    /// Takes claimed deliveries into their lane.
    pub(super) fn take(&mut self, taken: Vec<(Due, Option<Event>)>, loaded: &Loaded, now: Now) {
        if !taken.is_empty() {
            self.store.reached(Point::AfterClaim);
        }
        for (due, event) in taken {
            self.claim(due, event, loaded, now);
        }
        self.lanes.make_ready(loaded.config.id);
    }

    /// Parks a row that follows another one.
    fn park(&mut self, due: Due, loaded: &Loaded, now: Now) {
        let delivery = self.delivery(due, unread(due, now), loaded);
        self.ledger.take_up(&delivery);
        if self.lanes.claim(&delivery).is_some() {
            let end = End::Pending {
                at_micros: PARKED,
                step: due.step,
            };
            self.ledger
                .settle(Record::unattempted(delivery, end), self.lanes, now);
        }
    }

    fn delivery(&mut self, due: Due, event: Event, loaded: &Loaded) -> Delivery {
        Delivery {
            token: self.tokens.give(),
            event: Arc::new(event),
            subscription: Arc::clone(&loaded.config),
            agent: loaded.agent.clone(),
            origin: Origin::Pending,
            attempts: due.attempts,
            step: due.step,
            created_at_micros: due.created_at,
            rank: due.rank.filter(|_| loaded.config.ordering.is_some()),
            blocks_since: due.blocks_since,
            scheduled_for: None,
        }
    }

    fn claim(&mut self, due: Due, event: Option<Event>, loaded: &Loaded, now: Now) {
        let lost = event.is_none();
        let event = event.unwrap_or_else(|| unread(due, now));
        let delivery = self.delivery(due, event, loaded);
        let max_age = loaded.config.max_age.map(|age| age.as_micros() as i64);
        let is_expired = max_age.is_some_and(|age| due.created_at.saturating_add(age) < now.micros)
            || delivery.event.is_expired(now.micros);
        self.ledger.take_up(&delivery);
        let Some(entry) = self.lanes.claim(&delivery) else {
            return;
        };
        let reason = match (lost, is_expired) {
            (false, false) => return entry.push(delivery, now.micros),
            (true, _) => DeadReason::Poison,
            (false, true) => DeadReason::Expired,
        };
        let record = Record::unattempted(delivery, End::Dead(reason));
        self.ledger.settle(record, self.lanes, now);
    }
}

/// Returns what is known of an event that is not read.
fn unread(due: Due, now: Now) -> Event {
    Event {
        seq: due.seq,
        slot: due.slot,
        ..Event::new("", "", "", now.micros)
    }
}

fn earliest(first: Option<i64>, second: Option<i64>) -> Option<i64> {
    first.into_iter().chain(second).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Empty, at, loaded};

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
            read_up_to: None,
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
}
