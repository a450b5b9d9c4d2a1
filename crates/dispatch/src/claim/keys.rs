//! What an ordered lane asks `herald.pending`: the next deliveries of its keys, and which keys have some.

use std::collections::BTreeSet;
use std::time::Duration;

use herald_core::event::Event;
use herald_core::subscription::ordering::OrderedBy;

use super::claiming::Claiming;
use super::found::{BEFORE_ALL, by_number};
use crate::lanes::entry::Entry;
use crate::order::{Question, WALKED_AT_ONCE};
use crate::store::{Claim, Claims, Due, Parked, Store, Took};
use crate::subscriptions::Loaded;
use crate::time::Now;

/// At most this many deliveries of a key are claimed at once, if it is one of many.
const MOST_OF_A_KEY: usize = 16;
/// How soon to look again for what follows events of older windows, in microseconds.
const OLDER_WINDOWS: i64 = 100_000;

impl Entry {
    /// Returns what to ask next. While older windows are read, what is found may follow events that are not read yet: only
    /// what comes before these is claimed, and a walk follows afterwards.
    pub(super) fn ask(&mut self, read_up_to: Option<i64>, now: i64) -> Option<Question> {
        if read_up_to.is_none() {
            self.order.older_are_pending();
        }
        let (lane, any_due) = (&self.lane, self.next_due.is_some_and(|due| due <= now));
        let question = self.order.question(any_due, |key| lane.holds_key(key))?;
        if read_up_to.is_some() {
            self.order.walk_later();
            self.wait_for_older(now);
        }
        Some(question)
    }

    /// Looks again soon, from the beginning: the claim passed by what follows events of older windows.
    pub(super) fn wait_for_older(&mut self, now: i64) {
        self.claimed_to = None;
        self.expect_due(now + OLDER_WINDOWS);
    }
}

impl<S: Store> Claiming<'_, S> {
    /// Asks, and returns the number of rows that were read.
    pub(super) fn ask(
        &mut self,
        question: Question,
        loaded: &Loaded,
        now: Now,
        most: usize,
        with_events: bool,
    ) -> Took<usize> {
        match question {
            Question::Rows(keys) => self.claim_keys(&keys, loaded, now, most, with_events),
            Question::Keys(after) => self.walk(after, loaded.config.id),
            Question::Parked => self.unpark(loaded.config.id, now),
        }
    }

    /// Makes what is parked due, a part at a time.
    fn unpark(&mut self, id: i64, now: Now) -> Took<usize> {
        let Took { result, took } = self.store.unpark(id, WALKED_AT_ONCE);
        if let (Ok(unparked), Some(entry)) = (&result, self.lanes.get(id)) {
            if *unparked < WALKED_AT_ONCE {
                entry.order.walked(Parked::default());
            }
            entry.claimed_to = None;
            entry.expect_due(now.micros);
        }
        Took { result, took }
    }

    /// Walks along the keys, and finds those whose first row is parked.
    fn walk(&mut self, after: Option<i64>, id: i64) -> Took<usize> {
        let Took { result, took } = self.store.find_parked(id, after, WALKED_AT_ONCE);
        let result = result.map(|found| {
            let passed = found.keys.len();
            if let Some(entry) = self.lanes.get(id) {
                entry.order.walked(found);
            }
            passed
        });
        Took { result, took }
    }

    fn claim_keys(
        &mut self,
        keys: &[i64],
        loaded: &Loaded,
        now: Now,
        most: usize,
        with_events: bool,
    ) -> Took<usize> {
        let (id, share) = (loaded.config.id, self.lanes.share());
        let read_up_to = self.read_up_to;
        let Some(entry) = self.lanes.get(id) else {
            return Took {
                result: Ok(0),
                took: Duration::ZERO,
            };
        };
        let mut limit = entry.room(share, now.micros).clamp(1, most);
        if entry.order.by() == Some(OrderedBy::Key) {
            // A key whose receiver is slow leaves room for others.
            limit = limit.min(MOST_OF_A_KEY * keys.len());
        }
        let (keys, later) = keys.split_at(keys.len().min(limit));
        entry.order.ask_again(later.iter().copied());
        let given_up: Vec<i64> = self.suspects.given_up().collect();
        let claim = Claim {
            subscription: id,
            limit,
            after: BEFORE_ALL,
            now_micros: now.micros,
            with_events,
            claimed: &entry.claimed,
            given_up: &given_up,
            largest: self.subscriptions.largest,
            bytes: entry.byte_room(share),
            ordered_up_to: Some(read_up_to.unwrap_or(i64::MAX)),
        };
        let Took { result, took } = self.store.claim_keys(&claim, keys);
        let claims = match result {
            Ok(claims) => claims,
            Err(failure) => {
                entry.order.ask_again(keys.iter().copied());
                return Took {
                    result: Err(failure),
                    took,
                };
            }
        };
        let rows = claims.rows.len();
        let found = Followers::of(claims, &claim);
        entry.order.ask_again(found.rest);
        self.take(found.taken, loaded, now);
        Took {
            result: Ok(rows),
            took,
        }
    }
}

/// What was found for some keys.
#[derive(Debug)]
struct Followers {
    /// Claimed deliveries, each with its event unless that is lost.
    taken: Vec<(Due, Option<Event>)>,
    /// Keys of which more can be claimed at once.
    rest: Vec<i64>,
}

impl Followers {
    fn of(claims: Claims, claim: &Claim<'_>) -> Self {
        let mut events = by_number(claims.events);
        let mut found = Self {
            taken: Vec::new(),
            rest: Vec::new(),
        };
        // A key of which one is left out goes no further.
        let mut left_out = BTreeSet::new();
        for due in claims.rows {
            let is_out = key_of(&due).is_some_and(|key| left_out.contains(&key));
            if is_out {
                continue;
            }
            let event = events.remove(&due.seq);
            let is_given_up = claim.given_up.contains(&due.seq) || !claim.with_events;
            // Only the first is given up; for others, there may have been no room.
            let is_left = event.is_none()
                && (!claims.is_complete && !is_given_up
                    || !claim.with_events && !found.taken.is_empty());
            if is_left {
                left_out.extend(key_of(&due));
            } else {
                found.taken.push((due, event));
            }
        }
        let taken: BTreeSet<i64> = found
            .taken
            .iter()
            .filter_map(|(due, _)| key_of(due))
            .collect();
        found.rest.extend(left_out.difference(&taken));
        found
    }
}

fn key_of(due: &Due) -> Option<i64> {
    due.rank.map(|rank| rank.key)
}
