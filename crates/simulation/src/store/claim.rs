//! Due deliveries of the modelled table, with their events.

use std::collections::{BTreeMap, BTreeSet};

use herald_dispatch::order::{PARKED, sendable};
use herald_dispatch::store::{Claim, Claims, Due, Parked, Released};

use super::slice::{SLICE_BYTES, within_bytes};
use crate::database::rows::{Change, Key, PendingRow, Tables};
use crate::world::World;

/// Returns the pending deliveries to claim, and the events of those that are wanted.
pub fn claim(tables: &Tables, claim: &Claim<'_>) -> Claims {
    let mut rows: Vec<Due> = tables
        .pending_of(claim.subscription)
        .filter(|(seq, row)| row.deliver_at.is_none() && (row.next_attempt_at, *seq) > claim.after)
        .map(|(seq, row)| due(seq, row))
        .filter(|due| claim.ordered_up_to.is_none() || is_within(due, claim))
        .collect();
    rows.sort_by_key(|due| (due.next_attempt_at, due.seq));
    rows.truncate(claim.limit);
    for due in &mut rows {
        let rank = due
            .rank
            .filter(|_| claim.ordered_up_to.is_some() && due.next_attempt_at < PARKED);
        let follows = rank.is_some_and(|rank| tables.follows(claim.subscription, rank));
        due.is_behind = follows || rank.is_some() && is_held(tables, claim.subscription, due);
    }
    let wanted = rows.iter().filter(|due| claim.wants_event(due));
    let wanted: Vec<i64> = wanted.map(|due| due.seq).collect();
    with_events(tables, claim, rows, &wanted)
}

/// Returns the first pending deliveries of these keys that can be sent, and their events.
pub fn claim_keys(tables: &Tables, claim: &Claim<'_>, keys: &[i64]) -> Claims {
    let each = claim.of_each(keys);
    let of_key = |key: &i64| {
        let rows = tables.pending_of_key(claim.subscription, *key).into_iter();
        let rows = rows
            .map(|(seq, row)| due(seq, row))
            .filter(|due| is_within(due, claim) && !is_held(tables, claim.subscription, due));
        rows.take(each).collect::<Vec<Due>>()
    };
    let rows = keys.iter().flat_map(of_key).collect();
    let rows = sendable(rows, claim.now_micros, claim.claimed);
    let wanted = rows.iter().filter(|due| claim.wants_follower(due));
    let wanted: Vec<i64> = wanted.map(|due| due.seq).collect();
    with_events(tables, claim, rows, &wanted)
}

/// Walks along the keys of a subscription.
pub fn find_parked(tables: &Tables, id: i64, after: Option<i64>, most: usize) -> Parked {
    let mut first: BTreeMap<i64, ((i64, i64), bool)> = BTreeMap::new();
    for (seq, row) in tables.pending_of(id) {
        if let Some(rank) = row
            .rank
            .filter(|rank| after.is_none_or(|after| rank.key > after))
        {
            let is_free = !is_held(tables, id, &due(seq, row));
            let found = (
                (rank.at, rank.seq),
                row.next_attempt_at == PARKED && is_free,
            );
            let known = first.entry(rank.key).or_insert(found);
            *known = (*known).min(found);
        }
    }
    let passed: Vec<(i64, bool)> = first
        .into_iter()
        .map(|(key, (_, is_parked))| (key, is_parked))
        .take(most)
        .collect();
    let mut held = tables.blocking.range((id, i64::MIN)..=(id, i64::MAX));
    Parked {
        is_held: held.next().is_some(),
        last: passed
            .last()
            .filter(|_| passed.len() == most)
            .map(|(key, _)| *key),
        keys: passed
            .into_iter()
            .filter(|(_, is_parked)| *is_parked)
            .map(|(key, _)| key)
            .collect(),
    }
}

/// Returns the changes that make parked deliveries due.
pub fn unparked(world: &World, id: i64, most: usize) -> Vec<Change> {
    let wall = world.clock.wall();
    let rows = world.database.tables.pending_of(id);
    let parked = rows.filter(|(_, row)| row.next_attempt_at == PARKED && row.deliver_at.is_none());
    let due = parked.map(|(seq, row)| {
        let row = PendingRow {
            next_attempt_at: wall,
            rank: None,
            blocks_since: None,
            ..*row
        };
        Change::Pending((id, seq), Some(row))
    });
    due.take(most).collect()
}

/// Returns the changes that release scheduled deliveries, the subscriptions that have some, and when the next is released.
pub fn released(world: &World, most: usize) -> (Vec<Change>, Released) {
    let wall = world.clock.wall();
    let pending = world.database.tables.pending.iter();
    let mut scheduled: Vec<(i64, Key, PendingRow)> = pending
        .filter_map(|(key, row)| Some((row.deliver_at?, *key, *row)))
        .collect();
    scheduled.sort_by_key(|(at, key, _)| (*at, *key));
    let due = scheduled.partition_point(|(at, ..)| *at <= wall).min(most);
    let next_at = scheduled.get(due).map(|(at, ..)| *at);
    let ids: BTreeSet<i64> = scheduled[..due].iter().map(|(_, key, _)| key.0).collect();
    let changes = scheduled[..due].iter().map(|(at, key, row)| {
        let row = PendingRow {
            next_attempt_at: *at,
            deliver_at: None,
            ..*row
        };
        Change::Pending(*key, Some(row))
    });
    let released = Released {
        subscriptions: ids.into_iter().collect(),
        next_at,
    };
    (changes.collect(), released)
}

fn due(seq: i64, row: &PendingRow) -> Due {
    Due {
        slot: row.slot,
        seq,
        next_attempt_at: row.next_attempt_at,
        attempts: row.attempts,
        step: row.step,
        created_at: row.created_at,
        rank: row.rank,
        is_behind: false,
        blocks_since: row.blocks_since,
    }
}

/// Returns whether a dead letter holds it.
fn is_held(tables: &Tables, id: i64, due: &Due) -> bool {
    let mut letters = tables.blocking.range((id, i64::MIN)..=(id, i64::MAX));
    due.rank.is_some_and(|rank| {
        letters.any(|(_, letter)| {
            letter.key == rank.key && (letter.at, letter.seq) < (rank.at, rank.seq)
        })
    })
}

fn is_within(due: &Due, claim: &Claim<'_>) -> bool {
    due.rank
        .zip(claim.ordered_up_to)
        .is_none_or(|(rank, up_to)| rank.at <= up_to)
}

fn with_events(tables: &Tables, claim: &Claim<'_>, rows: Vec<Due>, wanted: &[i64]) -> Claims {
    let found = wanted.iter().filter_map(|seq| tables.events.get(seq));
    let (events, is_complete) = within_bytes(found, claim.largest, claim.bytes.min(SLICE_BYTES));
    Claims {
        rows,
        events,
        is_complete,
    }
}
