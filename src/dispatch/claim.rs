//! Taking deliveries that are due out of `herald.pending` into their lanes.
//!
//! There is one worker for each database, so a claim is only remembered, not written: after a crash everything is
//! still there.

use super::work::{Claimed, Origin};
use super::{CLAIM_MEMORY, Worker};
use crate::failpoint;
use crate::log::read;
use crate::log::row::{postgres_time, unix_micros};
use crate::pg::transaction::{TransactionError, snapshot_transaction};
use crate::prepared::Prepared;
use crate::record::{End, Record};
use herald_core::event::Event;
use herald_core::lane::first_due;
use herald_core::retry::DeadReason;
use pgrx::Spi;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::SpiClient;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// In front of every due time and number.
const BEFORE_ALL: (i64, i64) = (0, 0);

/// Lanes that are filled in one turn, at most: those that have been due for the longest.
const LANES_A_TURN: usize = 16;
/// Lanes for which the table is asked at once, at most.
const LANES_ASKED_AT_ONCE: usize = 500;
/// What a lane claims at once, at most.
pub const CLAIM_SIZE: usize = 1_024;

/// Whether deliveries are claimed with their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loading {
    Events,
    /// Their events are given up: their deliveries are buried.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    slot: i16,
    seq: i64,
    next_attempt_at: i64,
    attempts: i32,
    step: i32,
    created_at: i64,
}

impl Worker {
    /// Fills lanes with what is due.
    pub(super) fn claim_due(&mut self, now: i64) -> Result<(), TransactionError> {
        if !self.settings.enabled || self.memory() >= CLAIM_MEMORY {
            return Ok(());
        }
        let is_look_due = self
            .due_looked_at
            .is_none_or(|at| at.elapsed() >= self.settings.poll_interval);
        if is_look_due && self.due_unknown.is_empty() {
            self.due_unknown = self.lanes.ids();
            self.due_looked_at = Some(Instant::now());
        }
        if !self.due_unknown.is_empty() {
            self.look_for_due()?;
        } else if self.lanes.survey().first_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let due = self.lanes.iter_mut().filter_map(|(id, entry)| {
            let due = entry.next_due.filter(|due| *due <= now)?;
            (entry.room() > 0 && entry.lane.concurrency(now) > 0).then_some((due, id))
        });
        for id in first_due(due, LANES_A_TURN) {
            self.claim_for(id, now)?;
        }
        Ok(())
    }

    /// Fills one lane. Where an event cannot be read, the others are claimed in halves, and at last its delivery without it.
    fn claim_for(&mut self, id: i64, now: i64) -> Result<(), TransactionError> {
        let most = self.lanes.get(id).map_or(0, |entry| entry.claim_size);
        match self.claim_some(id, now, most, Loading::Events) {
            Ok(()) => {
                if let Some(entry) = self.lanes.get(id) {
                    entry.claim_size = (most * 2).min(CLAIM_SIZE);
                }
                Ok(())
            }
            Err(error) if error.is_about_what_was_read() => {
                if most > 1 {
                    if let Some(entry) = self.lanes.get(id) {
                        entry.claim_size = most / 2;
                    }
                    return Ok(());
                }
                self.claim_some(id, now, 1, Loading::Nothing)?;
                pgrx::warning!(
                    "pg_herald: an event that is pending for subscription {id} cannot be read, and its delivery is buried: \
                     {error}"
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the table when the first pending delivery of some lanes is due: what others changed there.
    fn look_for_due(&mut self) -> Result<(), TransactionError> {
        static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/find_due.sql"));
        let rest = self.due_unknown.len().saturating_sub(LANES_ASKED_AT_ONCE);
        let ids = self.due_unknown[rest..].to_vec();
        let asked = ids.clone();
        let found: Vec<(i64, i64)> = snapshot_transaction(
            || (),
            |()| {
                Spi::connect_mut(|client| {
                    let mut rows = STATEMENT.run(client, vec![ids.into()]);
                    let mut found = Vec::new();
                    while rows.next().is_some() {
                        if let (Ok(Some(id)), Ok(Some(at))) =
                            (rows.get::<i64>(1), rows.get::<TimestampWithTimeZone>(2))
                        {
                            found.push((id, unix_micros(at)));
                        }
                    }
                    found
                })
            },
        )?;
        self.due_unknown.truncate(rest);
        for id in asked {
            if let Some(entry) = self.lanes.get(id) {
                entry.claimed_to = None;
            }
        }
        for (id, at) in found {
            if let Some(entry) = self.lanes.get(id) {
                entry.expect_due(at);
            }
        }
        Ok(())
    }

    fn claim_some(
        &mut self,
        id: i64,
        now: i64,
        most: usize,
        loading: Loading,
    ) -> Result<(), TransactionError> {
        let Some(one) = self.subscriptions.by_id(id) else {
            return Ok(());
        };
        let (subscription, agent) = (Arc::clone(&one.config), one.agent.clone());
        let Some(entry) = self.lanes.get(id) else {
            return Ok(());
        };
        let wanted = entry.room().min(most);
        let claimed = &entry.claimed;
        let (limit, from) = match entry.claimed_to {
            Some(to) => (wanted as i64, to),
            None => ((wanted + claimed.len()) as i64, BEFORE_ALL),
        };
        let largest = self.subscriptions.largest;
        let (rows, (events, is_complete)) = snapshot_transaction(
            || (),
            |()| {
                Spi::connect_mut(|client| {
                    let rows = due_of(client, id, limit, from);
                    let places: Vec<(i16, i64)> = rows
                        .iter()
                        .filter(|due| due.next_attempt_at <= now && !claimed.contains(&due.seq))
                        .map(|due| (due.slot, due.seq))
                        .collect();
                    let events = if places.is_empty() || loading == Loading::Nothing {
                        (Vec::new(), true)
                    } else {
                        read::load_events(client, &places, largest)
                    };
                    (rows, events)
                })
            },
        )?;
        let mut events: HashMap<i64, Event> = events
            .into_iter()
            .map(|logged| (logged.event.seq, logged.event))
            .collect();
        let reached_end = (rows.len() as i64) < limit;
        let mut next_due = None;
        let mut claimed_to = from;
        let mut taken = Vec::new();
        for due in rows {
            if due.next_attempt_at > now {
                next_due = next_due.or(Some(due.next_attempt_at));
                break;
            }
            if !claimed.contains(&due.seq) {
                if loading == Loading::Nothing && !taken.is_empty() {
                    // Only the first is given up.
                    next_due = Some(now);
                    break;
                }
                match events.remove(&due.seq) {
                    None if !is_complete => next_due = Some(now),
                    found => taken.push((due, found)),
                }
            }
            if next_due.is_none() {
                claimed_to = (due.next_attempt_at, due.seq);
            }
        }
        if next_due.is_none() && !reached_end {
            next_due = Some(now);
        }
        let is_nothing_left =
            taken.is_empty() && claimed.is_empty() && next_due.is_none_or(|due| due > now);
        entry.claimed_to = Some(claimed_to);
        entry.next_due = next_due;
        if is_nothing_left && from != BEFORE_ALL {
            // To be sure, everything is looked at once more.
            entry.claimed_to = None;
            entry.next_due = Some(now);
        } else if is_nothing_left && entry.unrecorded == 0 && !self.settings.always_pending {
            entry.lane.unspill();
        }
        if !taken.is_empty() {
            failpoint::reached("after_claim");
        }
        for (due, event) in taken {
            self.claim(due, event, &subscription, &agent, now);
        }
        self.lanes.make_ready(id);
        Ok(())
    }

    fn claim(
        &mut self,
        due: Due,
        event: Option<Event>,
        subscription: &Arc<herald_core::subscription::Subscription>,
        agent: &herald_sender::AgentKey,
        now: i64,
    ) {
        let lost = event.is_none();
        let event = event.unwrap_or_else(|| Event {
            seq: due.seq,
            slot: due.slot,
            ..Event::new("", "", "", now)
        });
        let work = Claimed {
            token: self.new_token(),
            event: Arc::new(event),
            subscription: Arc::clone(subscription),
            agent: agent.clone(),
            origin: Origin::Pending,
            attempts: due.attempts.unsigned_abs(),
            step: due.step.unsigned_abs(),
            created_at_micros: due.created_at,
        };
        let is_expired = subscription
            .max_age
            .is_some_and(|age| due.created_at.saturating_add(age.as_micros() as i64) < now);
        self.bytes_in_memory += work.memory();
        if let Some(entry) = self.lanes.get(subscription.id) {
            entry.claimed.insert(due.seq);
            if lost || is_expired {
                let reason = if lost {
                    DeadReason::Poison
                } else {
                    DeadReason::Expired
                };
                self.settle(Record {
                    work,
                    attempt: None,
                    end: End::Dead(reason),
                });
            } else {
                entry.lane.push(work, now);
            }
        }
    }
}

fn due_of(
    client: &mut SpiClient<'_>,
    subscription: i64,
    limit: i64,
    (after_at, after_seq): (i64, i64),
) -> Vec<Due> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/claim_due.sql"));
    let mut rows = STATEMENT.run(
        client,
        vec![
            subscription.into(),
            limit.into(),
            postgres_time(after_at).into(),
            after_seq.into(),
        ],
    );
    let mut due = Vec::with_capacity(rows.len());
    while rows.next().is_some() {
        let read = || -> Option<Due> {
            Some(Due {
                slot: rows.get::<i16>(1).ok()??,
                seq: rows.get::<i64>(2).ok()??,
                next_attempt_at: unix_micros(rows.get::<TimestampWithTimeZone>(3).ok()??),
                attempts: rows.get::<i32>(4).ok()??,
                step: rows.get::<i32>(5).ok()??,
                created_at: unix_micros(rows.get::<TimestampWithTimeZone>(6).ok()??),
            })
        };
        due.push(read().unwrap_or_else(|| {
            pgrx::error!("pg_herald: a row of herald.pending could not be read")
        }));
    }
    due
}
