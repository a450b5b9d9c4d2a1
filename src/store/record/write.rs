//! The statements that record: one transaction for any number of records.

use super::locked;
use crate::failpoint;
use crate::life;
use crate::pg::heap::{Heap, Value};
use crate::pg::layout::{Known, Layout, optional, required};
use crate::pg::memory::Memory;
use crate::pg::time::postgres_time;
use crate::pg::transaction::{TransactionError, transaction_within, with_lock_timeout};
use crate::pg::{catalog, identity, lock};
use crate::prepared::Prepared;
use herald_core::outcome::Outcome;
use herald_core::retry::{DeadReason, lane_delay_until};
use herald_dispatch::log::{Ring, SLOTS};
use herald_dispatch::record::{Accounts, Attempt, Closed, End, Record, usage_of};
use herald_dispatch::tenants::{Tenants, Usage};
use herald_dispatch::work::{Delivery, Origin};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::SpiClient;
use pgrx::{Spi, pg_sys};
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
    insert_attempts(records, ring);
    failpoint::reached("mid_record");
    write_pending(client, records);
    bury(client, records);
    delete_pending(client, records);
    meter(client, usage);
}

/// Returns the table for the attempts of these records, if any.
pub fn attempt_table<'r>(
    records: impl DoubleEndedIterator<Item = &'r Record>,
    ring: Ring,
) -> Option<pg_sys::Oid> {
    slot_of_attempts(records, ring).map(attempt_slot)
}

fn attempt_slot(slot: i16) -> pg_sys::Oid {
    catalog::relation(&format!("herald_internal.attempt_{slot}"))
        .unwrap_or_else(|| pgrx::error!("pg_herald: herald_internal.attempt_{slot} is missing"))
}

/// Returns the slot of the ring at the time of their last attempt.
fn slot_of_attempts<'r>(
    records: impl DoubleEndedIterator<Item = &'r Record>,
    ring: Ring,
) -> Option<i16> {
    let mut attempted = records.filter_map(|record| record.attempt.as_ref());
    let last = attempted.next_back()?.started_at_micros;
    Some(last.div_euclid(ring.period_micros.max(1)).rem_euclid(SLOTS) as i16)
}

/// `herald_internal.attempt`, as [`insert_attempts`] writes it.
pub static ATTEMPT: Known = Known {
    parent: "herald_internal.attempt",
    columns: &[
        required("event_seq", pg_sys::INT8OID),
        required("subscription_id", pg_sys::INT8OID),
        required("at", pg_sys::TIMESTAMPTZOID),
        required("attempt", pg_sys::INT4OID),
        required("duration_ms", pg_sys::FLOAT4OID),
        required("event_slot", pg_sys::INT2OID),
        required("slot", pg_sys::INT2OID),
        optional("status_code", pg_sys::INT2OID),
        required("outcome", pg_sys::TEXTOID),
        optional("error_class", pg_sys::TEXTOID),
        optional("error", pg_sys::TEXTOID),
        optional("response", pg_sys::TEXTOID),
        optional("request", pg_sys::JSONOID),
    ],
    checks: &["attempt_slot_check", "attempt_outcome_check"],
    insert: include_str!("../../../sql/queries/insert_attempt.sql"),
};

/// Inserts the attempts, and bypasses the executor unless somebody added something to the table: it would take longer
/// than everything else that is recorded. The slot is that of the partition, and the table allows every outcome.
fn insert_attempts(records: &[&Record], ring: Ring) {
    let attempted = records.iter().filter_map(|record| {
        let attempt = record.attempt.as_ref()?;
        Some((*record, attempt.started_at_micros, &attempt.outcome))
    });
    let Some(slot) = slot_of_attempts(records.iter().copied(), ring) else {
        return;
    };
    let table = attempt_slot(slot);
    lock::for_writing(table);
    let layout = Layout::of(table, &ATTEMPT);
    let mut heap = Heap::open(&layout);
    let mut memory = Memory::of_statement(c"pg_herald attempt");
    for (record, at, outcome) in attempted {
        life::at_event(record.delivery.place());
        let error = outcome.error.as_ref();
        let response = Some(outcome.response.as_str()).filter(|text| !text.is_empty());
        let words = error.map(|(_, words)| words.replace('\0', ""));
        memory.run_and_empty(|| {
            heap.insert([
                Value::Int8(record.delivery.event.seq),
                Value::Int8(record.delivery.subscription.id),
                Value::Time(postgres_time(at)),
                Value::Int4(record.delivery.attempts as i32),
                Value::Float4(duration_ms(outcome)),
                Value::Int2(record.delivery.event.slot),
                Value::Int2(slot),
                outcome
                    .status
                    .map_or(Value::Null, |status| Value::Int2(status as i16)),
                Value::Text(outcome_text(&record.end)),
                error.map(|(class, _)| class.as_str()).into(),
                words.as_deref().into(),
                response.into(),
                outcome.request.as_deref().into(),
            ]);
        });
    }
}

fn duration_ms(outcome: &Outcome) -> f32 {
    (outcome.duration.as_micros() as f32) / 1_000.0
}

fn outcome_text(end: &End) -> &'static str {
    match end {
        End::Delivered => "delivered",
        End::Pending { .. } => "retrying",
        End::Dead(_) => "dead",
    }
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
    write_pending_rows(client, &INSERT, &new);
    write_pending_rows(client, &UPDATE, &known);
}

fn write_pending_rows(
    client: &mut SpiClient<'_>,
    statement: &Prepared,
    pending: &[(&Record, i64, u32)],
) {
    if pending.is_empty() {
        return;
    }
    let of = |record: &Record| {
        let attempt = record.attempt.as_ref();
        attempt.map(|attempt| attempt.outcome.clone())
    };
    statement.run(
        client,
        vec![
            pending
                .iter()
                .map(|(record, ..)| record.delivery.subscription.id)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| record.delivery.event.slot)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| record.delivery.event.seq)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(_, at, _)| postgres_time(*at))
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| postgres_time(record.delivery.created_at_micros))
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| record.delivery.attempts as i32)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(.., step)| *step as i32)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| {
                    let attempt = record.attempt.as_ref();
                    attempt.map(|attempt| postgres_time(attempt.started_at_micros))
                })
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| {
                    record
                        .attempt
                        .as_ref()
                        .map(|attempt| duration_ms(&attempt.outcome))
                })
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| {
                    of(record)
                        .and_then(|outcome| outcome.status)
                        .map(|status| status as i16)
                })
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| {
                    of(record)
                        .and_then(|outcome| outcome.error)
                        .map(|(class, _)| class.as_str().to_owned())
                })
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| spare_until(record))
                .collect::<Vec<_>>()
                .into(),
        ],
    );
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
            dead.iter()
                .map(|(work, _)| work.subscription.id)
                .collect::<Vec<_>>()
                .into(),
            dead.iter()
                .map(|(work, _)| work.event.slot)
                .collect::<Vec<_>>()
                .into(),
            dead.iter()
                .map(|(work, _)| work.event.seq)
                .collect::<Vec<_>>()
                .into(),
            dead.iter()
                .map(|(_, reason)| reason.as_str().to_owned())
                .collect::<Vec<_>>()
                .into(),
            dead.iter()
                .map(|(work, _)| work.attempts as i32)
                .collect::<Vec<_>>()
                .into(),
            dead.iter()
                .map(|(work, _)| postgres_time(work.created_at_micros))
                .collect::<Vec<TimestampWithTimeZone>>()
                .into(),
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
    let subscriptions: Vec<i64> = done.iter().map(|work| work.subscription.id).collect();
    let seqs: Vec<i64> = done.iter().map(|work| work.event.seq).collect();
    STATEMENT.run(client, vec![subscriptions.into(), seqs.into()]);
}

fn meter(client: &mut SpiClient<'_>, usage: &[(Arc<str>, Usage)]) {
    static STATEMENT: Prepared = Prepared::write(include_str!("../../../sql/queries/meter.sql"));
    if usage.is_empty() {
        return;
    }
    let names: Vec<String> = usage.iter().map(|(name, _)| name.to_string()).collect();
    let of = |count: fn(&Usage) -> i64| {
        usage
            .iter()
            .map(|(_, used)| count(used))
            .collect::<Vec<_>>()
    };
    STATEMENT.run(
        client,
        vec![
            names.into(),
            of(|used| used.events).into(),
            of(|used| used.attempts).into(),
            of(|used| used.delivered).into(),
            of(|used| used.dead).into(),
        ],
    );
}

fn close_windows(client: &mut SpiClient<'_>, closed: &[Closed]) {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../../sql/queries/close_windows.sql"));
    if closed.is_empty() {
        return;
    }
    let numbers: Vec<i64> = closed.iter().map(|(number, _)| *number).collect();
    let slots: Vec<i16> = closed.iter().map(|(_, slot)| *slot).collect();
    STATEMENT.run(
        client,
        vec![numbers.into(), slots.into(), identity::origin().into()],
    );
}
