//! Due deliveries of `herald.pending`, with their events.

use crate::log::read;
use crate::pg::time::{postgres_time, unix_micros};
use crate::pg::transaction::{TransactionError, snapshot_transaction, transaction};
use crate::prepared::Prepared;
use herald_dispatch::lane::keys::Rank;
use herald_dispatch::order::sendable;
use herald_dispatch::store::{Claim, Claims, Due, Parked};
use pgrx::Spi;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::spi::{SpiClient, SpiTupleTable};

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
    claimed(claim, |client| {
        let rows = match claim.ordered_up_to {
            Some(up_to) => ordered(client, claim, up_to),
            None => due_of(client, claim),
        };
        let wanted = rows.iter().filter(|due| claim.wants_event(due));
        let places = wanted.map(|due| (due.slot, due.seq)).collect();
        (rows, places)
    })
}

/// Returns the first pending deliveries of these keys that can be sent, and their events.
pub fn claim_keys(claim: &Claim<'_>, keys: &[i64]) -> Result<Claims, TransactionError> {
    claimed(claim, |client| {
        let rows = of_keys(client, claim, keys);
        let rows = sendable(rows, claim.now_micros, claim.claimed);
        let wanted = rows.iter().filter(|due| claim.wants_follower(due));
        let places = wanted.map(|due| (due.slot, due.seq)).collect();
        (rows, places)
    })
}

/// Reads rows, and the events at the places that are wanted, in one snapshot.
fn claimed(
    claim: &Claim<'_>,
    read: impl FnOnce(&mut SpiClient<'_>) -> (Vec<Due>, Vec<(i16, i64)>),
) -> Result<Claims, TransactionError> {
    snapshot_transaction(
        || (),
        |()| {
            Spi::connect_mut(|client| {
                let (rows, mut places) = read(client);
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
    let mut rows = STATEMENT.run(client, arguments(claim));
    rows_of(&mut rows, |_| Some(Due::default()))
}

fn ordered(client: &mut SpiClient<'_>, claim: &Claim<'_>, up_to: i64) -> Vec<Due> {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../sql/queries/claim_ordered.sql"));
    let mut arguments = arguments(claim);
    arguments.push(up_to.into());
    let mut rows = STATEMENT.run(client, arguments);
    rows_of(&mut rows, rank_of)
}

fn of_keys(client: &mut SpiClient<'_>, claim: &Claim<'_>, keys: &[i64]) -> Vec<Due> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/claim_keys.sql"));
    let each = claim.of_each(keys);
    let mut rows = STATEMENT.run(
        client,
        vec![
            claim.subscription.into(),
            keys.to_vec().into(),
            (each as i64).into(),
            claim.ordered_up_to.unwrap_or(i64::MAX).into(),
        ],
    );
    rows_of(&mut rows, rank_of)
}

/// Walks along the keys of a subscription.
pub fn find_parked(
    subscription: i64,
    after: Option<i64>,
    most: usize,
) -> Result<Parked, TransactionError> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/find_parked.sql"));
    snapshot_transaction(
        || (),
        |()| {
            Spi::connect_mut(|client| {
                let first = after.map_or(i64::MIN, |after| after.saturating_add(1));
                let arguments = vec![subscription.into(), first.into(), (most as i64).into()];
                let mut rows = STATEMENT.run(client, arguments);
                let (mut found, mut passed) = (Parked::default(), 0);
                while rows.next().is_some() {
                    let is_so = rows.get::<bool>(2).ok().flatten() == Some(true);
                    let Ok(Some(key)) = rows.get::<i64>(1) else {
                        found.is_held = is_so;
                        continue;
                    };
                    passed += 1;
                    found.last = (passed == most).then_some(key);
                    found.keys.extend(is_so.then_some(key));
                }
                found
            })
        },
    )
}

/// Makes parked deliveries of a subscription due. Returns how many.
pub fn unpark(subscription: i64, most: usize) -> Result<usize, TransactionError> {
    static STATEMENT: Prepared = Prepared::write(include_str!("../../sql/queries/unpark.sql"));
    transaction(|| {
        Spi::connect_mut(|client| {
            let arguments = vec![subscription.into(), (most as i64).into()];
            STATEMENT.run(client, arguments).len()
        })
    })
}

fn arguments<'a>(claim: &Claim<'_>) -> Vec<DatumWithOid<'a>> {
    let (after_at, after_seq) = claim.after;
    vec![
        claim.subscription.into(),
        (claim.limit as i64).into(),
        postgres_time(after_at).into(),
        after_seq.into(),
    ]
}

/// Reads rows of `herald.pending`, with `rest` from columns that not all statements return.
fn rows_of(
    rows: &mut SpiTupleTable<'_>,
    rest: impl Fn(&SpiTupleTable<'_>) -> Option<Due>,
) -> Vec<Due> {
    let mut found = Vec::with_capacity(rows.len());
    while rows.next().is_some() {
        let read = || -> Option<Due> {
            Some(Due {
                slot: rows.get::<i16>(1).ok()??,
                seq: rows.get::<i64>(2).ok()??,
                next_attempt_at: unix_micros(rows.get::<TimestampWithTimeZone>(3).ok()??),
                attempts: rows.get::<i32>(4).ok()??.unsigned_abs(),
                step: rows.get::<i32>(5).ok()??.unsigned_abs(),
                created_at: unix_micros(rows.get::<TimestampWithTimeZone>(6).ok()??),
                ..rest(rows)?
            })
        };
        found.push(read().unwrap_or_else(|| {
            pgrx::error!("pg_herald: a row of herald.pending could not be read")
        }));
    }
    found
}

fn rank_of(rows: &SpiTupleTable<'_>) -> Option<Due> {
    let key = rows.get::<i64>(7).ok()?;
    let at = rows.get::<i64>(8).ok()?;
    let seq = rows.get::<i64>(2).ok()??;
    Some(Due {
        rank: key.zip(at).map(|(key, at)| Rank { key, at, seq }),
        blocks_since: rows.get::<TimestampWithTimeZone>(9).ok()?.map(unix_micros),
        is_behind: rows.get::<bool>(10).ok()??,
        ..Due::default()
    })
}
