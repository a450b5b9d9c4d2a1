//! The statements that record: one transaction for any number of records.

use super::attempts::{self, duration_ms};
use super::locked;
use crate::failpoint;
use crate::pg::identity;
use crate::pg::time::postgres_time;
use crate::pg::transaction::{TransactionError, transaction_within, with_lock_timeout};
use crate::prepared::{Prepared, column};
use herald_core::attempt::retry::{DeadReason, lane_delay_until};
use herald_dispatch::lane::keys::Rank;
use herald_dispatch::log::Ring;
use herald_dispatch::record::{Accounts, Attempt, Closed, End, Record, usage_of};
use herald_dispatch::tenants::{Tenants, Usage};
use herald_dispatch::work::{Delivery, Origin};
use pgrx::Spi;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::spi::SpiClient;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// The longest time of a transaction, waits for locks included.
pub const LONGEST: Duration = Duration::from_millis(500);
/// The same for a transaction that only closes windows.
const LONGEST_CLOSE: Duration = Duration::from_millis(250);
/// How long to wait for a lock while other work waits.
const SHORT_PAUSE: Duration = Duration::from_millis(3);

/// Writes everything or nothing. Waits for locks.
pub fn patiently(
    records: &[Record],
    closed_windows: &[Closed],
    ring: Ring,
    tenants: &Tenants,
) -> Result<Accounts, TransactionError> {
    let records: Vec<&Record> = records.iter().collect();
    let usage = usage_of(&records, tenants);
    transaction_within(LONGEST, || {
        Spi::connect_mut(|client| {
            write(client, &records, ring, &usage);
            close_windows(client, closed_windows);
        });
    })?;
    Ok(usage)
}

/// Writes all records except those that another session has locked, and returns the places of these.
pub fn skipping_locked(
    records: &[Record],
    ring: Ring,
    tenants: &Tenants,
    within: Duration,
) -> Result<(HashSet<usize>, Accounts), TransactionError> {
    with_lock_timeout(SHORT_PAUSE, || {
        transaction_within(within, || {
            Spi::connect_mut(|client| {
                let locked = locked::find(client, records, ring, tenants);
                let free: Vec<&Record> = records
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| !locked.contains(place))
                    .map(|(_, record)| record)
                    .collect();
                let usage = usage_of(&free, tenants);
                write(client, &free, ring, &usage);
                (locked, usage)
            })
        })
    })
}

/// Records these windows as closed. Waits for a lock only briefly.
pub fn close(windows: &[Closed]) -> Result<(), TransactionError> {
    with_lock_timeout(SHORT_PAUSE, || {
        transaction_within(LONGEST_CLOSE, || {
            Spi::connect_mut(|client| close_windows(client, windows));
        })
    })
}

fn write(client: &mut SpiClient<'_>, records: &[&Record], ring: Ring, usage: &[(Arc<str>, Usage)]) {
    attempts::insert(records, ring);
    failpoint::reached("mid_record");
    write_pending(client, records);
    bury(client, records);
    hold_keys(client, records);
    delete_pending(client, records);
    meter(client, usage);
}

fn write_pending(client: &mut SpiClient<'_>, records: &[&Record]) {
    static INSERT: Prepared =
        Prepared::write(include_str!("../../../sql/queries/insert_pending.sql"));
    static UPDATE: Prepared =
        Prepared::write(include_str!("../../../sql/queries/update_pending.sql"));
    let (known, new): (Vec<_>, Vec<_>) = records
        .iter()
        .filter_map(|record| match record.end {
            End::Pending { at_micros, step } => Some((*record, at_micros, step)),
            _ => None,
        })
        .partition(|(record, ..)| record.delivery.origin == Origin::Pending);
    for (statement, pending) in [(&INSERT, new), (&UPDATE, known)] {
        if !pending.is_empty() {
            statement.run(client, columns_of_pending(&pending));
        }
    }
}

/// Returns the columns that both statements take, from records, the times of their next attempts, and their steps.
fn columns_of_pending<'r>(pending: &'r [(&Record, i64, u32)]) -> Vec<DatumWithOid<'r>> {
    let outcome = |record: &'r Record| record.attempt.as_ref().map(|attempt| &attempt.outcome);
    vec![
        column(pending, |(record, ..)| record.delivery.subscription.id),
        column(pending, |(record, ..)| record.delivery.event.slot),
        column(pending, |(record, ..)| record.delivery.event.seq),
        column(pending, |(_, at, _)| postgres_time(*at)),
        column(pending, |(record, ..)| {
            postgres_time(record.delivery.created_at_micros)
        }),
        column(pending, |(record, ..)| record.delivery.attempts as i32),
        column(pending, |(.., step)| *step as i32),
        column(pending, |(record, ..)| {
            Some(postgres_time(record.attempt.as_ref()?.started_at_micros))
        }),
        column(pending, |(record, ..)| Some(duration_ms(outcome(record)?))),
        column(pending, |(record, ..)| {
            Some(outcome(record)?.status? as i16)
        }),
        column(pending, |(record, ..)| {
            Some(outcome(record)?.error.as_ref()?.0.as_str())
        }),
        column(pending, |(record, ..)| spare_until(record)),
        column(pending, |(record, ..)| Some(record.delivery.rank?.key)),
        column(pending, |(record, ..)| Some(record.delivery.rank?.at)),
        column(pending, |(record, ..)| {
            record.delivery.blocks_since.map(postgres_time)
        }),
        column(pending, |(record, ..)| {
            record.delivery.scheduled_for.map(postgres_time)
        }),
    ]
}

/// Returns until when the receiver asked to be spared.
fn spare_until(record: &Record) -> Option<TimestampWithTimeZone> {
    let Attempt {
        started_at_micros,
        outcome,
    } = record.attempt.as_ref()?;
    let ended_at = started_at_micros.saturating_add(outcome.duration.as_micros() as i64);
    lane_delay_until(outcome, ended_at).map(postgres_time)
}

fn bury(client: &mut SpiClient<'_>, records: &[&Record]) {
    static STATEMENT: Prepared = Prepared::write(include_str!("../../../sql/queries/bury.sql"));
    let dead: Vec<(&Delivery, DeadReason)> = records
        .iter()
        .filter_map(|record| match record.end {
            End::Dead(reason) => Some((&record.delivery, reason)),
            _ => None,
        })
        .collect();
    if dead.is_empty() {
        return;
    }
    STATEMENT.run(
        client,
        vec![
            column(&dead, |(work, _)| work.subscription.id),
            column(&dead, |(work, _)| work.event.slot),
            column(&dead, |(work, _)| work.event.seq),
            column(&dead, |(_, reason)| reason.as_str()),
            column(&dead, |(work, _)| work.attempts as i32),
            column(&dead, |(work, _)| postgres_time(work.created_at_micros)),
        ],
    );
}

/// Notes dead letters that hold what comes after them.
fn hold_keys(client: &mut SpiClient<'_>, records: &[&Record]) {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../../sql/queries/insert_blocking.sql"));
    let holding = records
        .iter()
        .filter(|record| record.is_dead() && record.blocks_key());
    let holding: Vec<(&Delivery, Rank)> = holding
        .filter_map(|record| Some((&record.delivery, record.delivery.rank?)))
        .collect();
    if holding.is_empty() {
        return;
    }
    STATEMENT.run(
        client,
        vec![
            column(&holding, |(work, _)| work.subscription.id),
            column(&holding, |(_, rank)| rank.key),
            column(&holding, |(_, rank)| rank.at),
            column(&holding, |(_, rank)| rank.seq),
            column(&holding, |(work, _)| work.event.slot),
            column(&holding, |(work, _)| work.attempts as i32),
            column(&holding, |(work, _)| work.event.key.as_deref()),
            column(&holding, |(work, _)| work.event.source.as_str()),
            column(&holding, |(work, _)| work.event.id.as_str()),
        ],
    );
}

fn delete_pending(client: &mut SpiClient<'_>, records: &[&Record]) {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../../sql/queries/delete_pending.sql"));
    let done: Vec<&Delivery> = records
        .iter()
        .filter(|record| {
            record.delivery.origin == Origin::Pending
                && matches!(record.end, End::Delivered | End::Dead(_))
        })
        .map(|record| &record.delivery)
        .collect();
    if done.is_empty() {
        return;
    }
    STATEMENT.run(
        client,
        vec![
            column(&done, |work| work.subscription.id),
            column(&done, |work| work.event.seq),
        ],
    );
}

fn meter(client: &mut SpiClient<'_>, usage: &[(Arc<str>, Usage)]) {
    static STATEMENT: Prepared = Prepared::write(include_str!("../../../sql/queries/meter.sql"));
    if usage.is_empty() {
        return;
    }
    STATEMENT.run(
        client,
        vec![
            column(usage, |(name, _)| &**name),
            column(usage, |(_, used)| used.events),
            column(usage, |(_, used)| used.attempts),
            column(usage, |(_, used)| used.delivered),
            column(usage, |(_, used)| used.dead),
        ],
    );
}

fn close_windows(client: &mut SpiClient<'_>, closed: &[Closed]) {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../../sql/queries/close_windows.sql"));
    if closed.is_empty() {
        return;
    }
    STATEMENT.run(
        client,
        vec![
            column(closed, |(number, _)| *number),
            column(closed, |(_, slot)| *slot),
            identity::origin().into(),
        ],
    );
}
