//! Due deliveries of `herald.pending`, with their events.

use crate::log::read;
use crate::pg::time::{postgres_time, unix_micros};
use crate::pg::transaction::{TransactionError, snapshot_transaction};
use crate::prepared::Prepared;
use herald_dispatch::store::{Claim, Claims, Due};
use pgrx::Spi;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::SpiClient;

/// The fewest bytes that an event holds in memory.
const LEAST_BYTES: usize = 256;

/// Returns when the first pending delivery of each subscription is due: pairs of id and microseconds since 1970.
pub fn find_due(subscriptions: &[i64]) -> Result<Vec<(i64, i64)>, TransactionError> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/find_due.sql"));
    snapshot_transaction(
        || (),
        |()| {
            Spi::connect_mut(|client| {
                let mut rows = STATEMENT.run(client, vec![subscriptions.to_vec().into()]);
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
    )
}

/// Returns pending deliveries of a subscription, and the events of those that are wanted.
pub fn claim(claim: &Claim<'_>) -> Result<Claims, TransactionError> {
    snapshot_transaction(
        || (),
        |()| {
            Spi::connect_mut(|client| {
                let rows = due_of(client, claim);
                let wanted = rows.iter().filter(|due| claim.wants_event(due));
                let mut places: Vec<(i16, i64)> = wanted.map(|due| (due.slot, due.seq)).collect();
                // Look up no more than there may be room for.
                let asked = places.len();
                places.truncate((claim.bytes / LEAST_BYTES).max(1));
                let (mut events, is_complete) = if places.is_empty() {
                    (Vec::new(), true)
                } else {
                    read::load_events(client, &places, claim.largest, claim.bytes)
                };
                // Events come in the order of the log. The one that has been due longest comes in any case.
                let oldest = places.first().filter(|_| !is_complete);
                if let Some((slot, seq)) = oldest
                    && !events.iter().any(|logged| logged.event.seq == *seq)
                {
                    let place = [(*slot, *seq)];
                    events.extend(read::load_events(client, &place, claim.largest, 0).0);
                }
                Claims {
                    rows,
                    events,
                    is_complete: is_complete && places.len() == asked,
                }
            })
        },
    )
}

fn due_of(client: &mut SpiClient<'_>, claim: &Claim<'_>) -> Vec<Due> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/claim_due.sql"));
    let (after_at, after_seq) = claim.after;
    let mut rows = STATEMENT.run(
        client,
        vec![
            claim.subscription.into(),
            (claim.limit as i64).into(),
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
                attempts: rows.get::<i32>(4).ok()??.unsigned_abs(),
                step: rows.get::<i32>(5).ok()??.unsigned_abs(),
                created_at: unix_micros(rows.get::<TimestampWithTimeZone>(6).ok()??),
            })
        };
        due.push(read().unwrap_or_else(|| {
            pgrx::error!("pg_herald: a row of herald.pending could not be read")
        }));
    }
    due
}
