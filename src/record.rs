//! Step 4: what became of deliveries, written down in one transaction: attempts, pending, dead letters, windows.
//!
//! Its commit may be lost in a crash: the deliveries are then made again. It must never be split so that a window is
//! closed before its records.

use crate::dispatch::work::{Claimed, Origin};
use crate::failpoint;
use crate::log::append::SLOTS;
use crate::log::read::Ring;
use crate::log::row::postgres_time;
use crate::pg::heap::{Heap, Layout, Value};
use crate::pg::memory::Memory;
use crate::pg::transaction::{TransactionError, transaction};
use crate::pg::{catalog, identity, lock};
use crate::prepared::Prepared;
use herald_core::outcome::Outcome;
use herald_core::retry::DeadReason;
use herald_core::tenants::{Tenants, Usage};
use pgrx::Spi;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::SpiClient;
use std::collections::HashMap;
use std::sync::Arc;

/// How a delivery goes on.
#[derive(Debug, Clone)]
pub enum End {
    Delivered,
    /// It stands in `herald.pending` from now on.
    Pending {
        at_micros: i64,
        step: u32,
    },
    Dead(DeadReason),
}

/// What is to be written of one delivery.
#[derive(Debug, Clone)]
pub struct Record {
    pub work: Claimed,
    /// The attempt that was made, if one was: when it started, and its outcome.
    pub attempt: Option<(i64, Outcome)>,
    pub end: End,
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Batch {
    pub records: Vec<Record>,
    pub closed_windows: Vec<(i64, i16)>,
    /// Subscriptions that their receivers said good-bye to, and how.
    pub disabled: Vec<(i64, String)>,
    /// What this adds to the accounts of tenants.
    pub usage: Vec<(Arc<str>, Usage)>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.closed_windows.is_empty() && self.disabled.is_empty()
    }
}

/// What these records add to the accounts of tenants.
pub fn usage_of(records: &[Record], tenants: &Tenants) -> Vec<(Arc<str>, Usage)> {
    if tenants.is_empty() {
        return Vec::new();
    }
    let mut usage: HashMap<&Arc<str>, Usage> = HashMap::new();
    for Record { work, attempt, end } in records {
        let Some(tenant) = work.agent.tenant.as_ref() else {
            continue;
        };
        if !work.is_metered() || !tenants.has_account(tenant) {
            continue;
        }
        let one = usage.entry(tenant).or_default();
        one.events += i64::from(attempt.is_some() && work.attempts == 1);
        one.attempts += i64::from(attempt.is_some());
        one.delivered += i64::from(matches!(end, End::Delivered));
        one.dead += i64::from(matches!(end, End::Dead(_)));
    }
    let used = usage
        .into_iter()
        .filter(|(_, one)| *one != Usage::default());
    used.map(|(tenant, one)| (Arc::clone(tenant), one))
        .collect()
}

/// Writes the batch, in one transaction unless PostgreSQL refuses a value in it: then the record with that value is
/// found by halving and written without what the receiver said, and windows are closed last.
pub fn record(batch: &Batch, ring: Ring) -> Result<(), TransactionError> {
    match write(batch, ring) {
        Err(error) if error.is_about_a_value() && !batch.records.is_empty() => {
            record_one_by_one(&batch.records, ring)?;
            let rest = Batch {
                records: Vec::new(),
                closed_windows: batch.closed_windows.clone(),
                disabled: batch.disabled.clone(),
                usage: batch.usage.clone(),
            };
            write(&rest, ring)
        }
        result => result,
    }
}

fn record_one_by_one(records: &[Record], ring: Ring) -> Result<(), TransactionError> {
    let batch = Batch {
        records: records.to_vec(),
        ..Batch::default()
    };
    match write(&batch, ring) {
        Err(error) if error.is_about_a_value() => match records {
            [] => Ok(()),
            [one] => {
                pgrx::log!(
                    "pg_herald: an attempt for event {} of subscription \"{}\" is recorded without its response: {error}",
                    one.work.event.uid,
                    one.work.subscription.name
                );
                write(
                    &Batch {
                        records: vec![one.without_words()],
                        ..Batch::default()
                    },
                    ring,
                )
            }
            several => {
                let (first, second) = several.split_at(several.len() / 2);
                record_one_by_one(first, ring)?;
                record_one_by_one(second, ring)
            }
        },
        result => result,
    }
}

impl Record {
    fn without_words(&self) -> Record {
        let mut record = self.clone();
        if let Some((_, outcome)) = &mut record.attempt {
            outcome.response.clear();
            if let Some((_, words)) = &mut outcome.error {
                words.clear();
            }
        }
        record
    }
}

fn write(batch: &Batch, ring: Ring) -> Result<(), TransactionError> {
    transaction(|| {
        Spi::connect_mut(|client| {
            insert_attempts(&batch.records, ring);
            failpoint::reached("mid_record");
            write_pending(client, &batch.records);
            bury(client, &batch.records);
            delete_pending(client, &batch.records);
            for (subscription, reason) in &batch.disabled {
                static STATEMENT: Prepared =
                    Prepared::write(include_str!("../sql/queries/disable_subscription.sql"));
                STATEMENT.run(client, vec![(*subscription).into(), reason.as_str().into()]);
            }
            meter(client, &batch.usage);
            close_windows(client, &batch.closed_windows);
        });
    })
}

/// The columns of `herald._attempt`, as [`insert_attempts`] writes them.
const ATTEMPT: [&str; 12] = [
    "event_seq",
    "subscription_id",
    "at",
    "attempt",
    "duration_ms",
    "event_slot",
    "slot",
    "status_code",
    "outcome",
    "error_class",
    "error",
    "response",
];

/// Without the executor, which would take more time for them than for everything else that is recorded. The slot is that
/// of the partition, and every outcome is one of those that the table allows.
fn insert_attempts(records: &[Record], ring: Ring) {
    let attempted = records.iter().filter_map(|record| {
        let (at, outcome) = record.attempt.as_ref()?;
        Some((record, *at, outcome))
    });
    let Some((_, now, _)) = attempted.clone().next_back() else {
        return;
    };
    let slot = now.div_euclid(ring.period_micros.max(1)).rem_euclid(SLOTS) as i16;
    let table = catalog::relation_in_herald(&format!("_attempt_{slot}"))
        .unwrap_or_else(|| pgrx::error!("pg_herald: herald._attempt_{slot} is missing"));
    lock::for_writing(table);
    let layout = Layout::of(table, &ATTEMPT);
    let mut heap = Heap::open(&layout);
    let mut memory = Memory::of_statement(c"pg_herald attempt");
    for (record, at, outcome) in attempted {
        let error = outcome.error.as_ref();
        let response = Some(outcome.response.as_str()).filter(|text| !text.is_empty());
        let words = error.map(|(_, words)| words.replace('\0', ""));
        memory.run_and_empty(|| {
            heap.insert([
                Value::Int8(record.work.event.seq),
                Value::Int8(record.work.subscription.id),
                Value::Time(postgres_time(at)),
                Value::Int4(record.work.attempts as i32),
                Value::Float4(duration_ms(outcome)),
                Value::Int2(record.work.event.slot),
                Value::Int2(slot),
                outcome
                    .status
                    .map_or(Value::Null, |status| Value::Int2(status as i16)),
                Value::Text(outcome_text(&record.end)),
                error.map(|(class, _)| class.as_str()).into(),
                words.as_deref().into(),
                response.into(),
            ]);
        });
    }
}

fn duration_ms(outcome: &Outcome) -> f32 {
    outcome.duration.as_secs_f32() * 1_000.0
}

fn outcome_text(end: &End) -> &'static str {
    match end {
        End::Delivered => "delivered",
        End::Pending { .. } => "retrying",
        End::Dead(_) => "dead",
    }
}

fn write_pending(client: &mut SpiClient<'_>, records: &[Record]) {
    static INSERT: Prepared = Prepared::write(include_str!("../sql/queries/insert_pending.sql"));
    static UPDATE: Prepared = Prepared::write(include_str!("../sql/queries/update_pending.sql"));
    let (known, new): (Vec<_>, Vec<_>) = records
        .iter()
        .filter_map(|record| match record.end {
            End::Pending { at_micros, step } => Some((record, at_micros, step)),
            _ => None,
        })
        .partition(|(record, ..)| record.work.origin == Origin::Pending);
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
    let of = |record: &Record| record.attempt.as_ref().map(|(_, outcome)| outcome.clone());
    statement.run(
        client,
        vec![
            pending
                .iter()
                .map(|(record, ..)| record.work.subscription.id)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| record.work.event.slot)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| record.work.event.seq)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(_, at, _)| postgres_time(*at))
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| postgres_time(record.work.created_at_micros))
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| record.work.attempts as i32)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(.., step)| *step as i32)
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| record.attempt.as_ref().map(|(at, _)| postgres_time(*at)))
                .collect::<Vec<_>>()
                .into(),
            pending
                .iter()
                .map(|(record, ..)| {
                    record
                        .attempt
                        .as_ref()
                        .map(|(_, outcome)| duration_ms(outcome))
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
        ],
    );
}

fn bury(client: &mut SpiClient<'_>, records: &[Record]) {
    static STATEMENT: Prepared = Prepared::write(include_str!("../sql/queries/bury.sql"));
    let dead: Vec<(&Claimed, DeadReason)> = records
        .iter()
        .filter_map(|record| match record.end {
            End::Dead(reason) => Some((&record.work, reason)),
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

fn delete_pending(client: &mut SpiClient<'_>, records: &[Record]) {
    static STATEMENT: Prepared = Prepared::write(include_str!("../sql/queries/delete_pending.sql"));
    let done: Vec<&Claimed> = records
        .iter()
        .filter(|record| {
            record.work.origin == Origin::Pending
                && matches!(record.end, End::Delivered | End::Dead(_))
        })
        .map(|record| &record.work)
        .collect();
    if done.is_empty() {
        return;
    }
    let subscriptions: Vec<i64> = done.iter().map(|work| work.subscription.id).collect();
    let seqs: Vec<i64> = done.iter().map(|work| work.event.seq).collect();
    STATEMENT.run(client, vec![subscriptions.into(), seqs.into()]);
}

fn meter(client: &mut SpiClient<'_>, usage: &[(Arc<str>, Usage)]) {
    static STATEMENT: Prepared = Prepared::write(include_str!("../sql/queries/meter.sql"));
    if usage.is_empty() {
        return;
    }
    let names: Vec<String> = usage.iter().map(|(name, _)| name.to_string()).collect();
    let of = |count: fn(&Usage) -> i64| usage.iter().map(|(_, one)| count(one)).collect::<Vec<_>>();
    STATEMENT.run(
        client,
        vec![
            names.into(),
            of(|one| one.events).into(),
            of(|one| one.attempts).into(),
            of(|one| one.delivered).into(),
            of(|one| one.dead).into(),
        ],
    );
}

fn close_windows(client: &mut SpiClient<'_>, closed: &[(i64, i16)]) {
    static STATEMENT: Prepared = Prepared::write(include_str!("../sql/queries/close_windows.sql"));
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
