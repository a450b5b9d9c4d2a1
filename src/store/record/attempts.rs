//! Attempts on their way into their table.

use crate::life;
use crate::pg::heap::{Heap, Value};
use crate::pg::layout::{Known, Layout, optional, required};
use crate::pg::memory::Memory;
use crate::pg::time::postgres_time;
use crate::pg::{catalog, lock};
use herald_core::attempt::outcome::Outcome;
use herald_dispatch::log::{Ring, SLOTS};
use herald_dispatch::record::{End, Record};
use pgrx::pg_sys;

/// `herald_internal.attempt`, as [`insert`] writes it.
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
pub fn insert(records: &[&Record], ring: Ring) {
    let attempted = records.iter().filter_map(|record| {
        let attempt = record.attempt.as_ref()?;
        Some((*record, attempt.started_at_micros, &attempt.outcome))
    });
    let Some(slot) = slot_of_attempts(records.iter().copied(), ring) else {
        return;
    };
    let table = table_of_slot(slot);
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

/// Returns how long the attempt took.
pub fn duration_ms(outcome: &Outcome) -> f32 {
    (outcome.duration.as_micros() as f32) / 1_000.0
}

/// Returns the table for the attempts of these records, if any.
pub fn table<'r>(
    records: impl DoubleEndedIterator<Item = &'r Record>,
    ring: Ring,
) -> Option<pg_sys::Oid> {
    slot_of_attempts(records, ring).map(table_of_slot)
}

fn table_of_slot(slot: i16) -> pg_sys::Oid {
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

fn outcome_text(end: &End) -> &'static str {
    match end {
        End::Delivered => "delivered",
        End::Pending { .. } => "retrying",
        End::Dead(_) => "dead",
    }
}
