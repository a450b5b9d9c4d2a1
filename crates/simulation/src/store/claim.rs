//! Due deliveries of the modelled table, with their events.

use herald_dispatch::store::{Claim, Claims, Due};

use super::slice::{SLICE_BYTES, within_bytes};
use crate::database::rows::Tables;

/// Returns the pending deliveries to claim, and the events of those that are wanted.
pub fn claim(tables: &Tables, claim: &Claim<'_>) -> Claims {
    let mut rows: Vec<Due> = tables
        .pending_of(claim.subscription)
        .filter(|(seq, row)| (row.next_attempt_at, *seq) > claim.after)
        .map(|(seq, row)| Due {
            slot: row.slot,
            seq,
            next_attempt_at: row.next_attempt_at,
            attempts: row.attempts,
            step: row.step,
            created_at: row.created_at,
        })
        .collect();
    rows.sort_by_key(|due| (due.next_attempt_at, due.seq));
    rows.truncate(claim.limit);
    let wanted = rows.iter().filter(|due| claim.wants_event(due));
    let found = wanted.filter_map(|due| tables.events.get(&due.seq));
    let (events, is_complete) = within_bytes(found, claim.largest, claim.bytes.min(SLICE_BYTES));
    Claims {
        rows,
        events,
        is_complete,
    }
}
