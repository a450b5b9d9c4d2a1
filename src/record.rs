//! Step 4: what became of deliveries, written down in one transaction: attempts, pending, dead letters, windows.
//!
//! Its commit may be lost in a crash: the deliveries are then made again. It must never be split so that a window is
//! closed before its records.

use crate::dispatch::work::{Claimed, Origin};
use crate::failpoint;
use crate::log::append::SLOTS;
use crate::log::read::Ring;
use crate::log::row::postgres_time;
use crate::pg::identity;
use crate::pg::transaction::{Durability, TransactionError, transaction};
use crate::prepared::Prepared;
use herald_core::outcome::Outcome;
use herald_core::retry::DeadReason;
use pgrx::Spi;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::SpiClient;

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
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.closed_windows.is_empty() && self.disabled.is_empty()
    }
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
    transaction(Durability::Relaxed, || {
        Spi::connect_mut(|client| {
            insert_attempts(client, &batch.records, ring);
            failpoint::reached("mid_record");
            write_pending(client, &batch.records);
            bury(client, &batch.records);
            delete_pending(client, &batch.records);
            for (subscription, reason) in &batch.disabled {
                static STATEMENT: Prepared =
                    Prepared::write(include_str!("../sql/queries/disable_subscription.sql"));
                STATEMENT.run(client, vec![(*subscription).into(), reason.as_str().into()]);
            }
            close_windows(client, &batch.closed_windows);
        });
    })
}

fn insert_attempts(client: &mut SpiClient<'_>, records: &[Record], ring: Ring) {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../sql/queries/insert_attempts.sql"));
    let attempted: Vec<(&Record, i64, &Outcome)> = records
        .iter()
        .filter_map(|record| {
            record
                .attempt
                .as_ref()
                .map(|(at, outcome)| (record, *at, outcome))
        })
        .collect();
    let Some((_, now, _)) = attempted.last() else {
        return;
    };
    let slot = now.div_euclid(ring.period_micros.max(1)).rem_euclid(SLOTS) as i16;
    let column = |value: fn(&Record) -> i64| -> Vec<i64> {
        attempted.iter().map(|(record, ..)| value(record)).collect()
    };
    let of_outcome = |value: fn(&Outcome) -> Option<String>| -> Vec<Option<String>> {
        attempted
            .iter()
            .map(|(.., outcome)| value(outcome))
            .collect()
    };
    STATEMENT.run(
        client,
        vec![
            slot.into(),
            attempted
                .iter()
                .map(|(record, ..)| record.work.event.slot)
                .collect::<Vec<i16>>()
                .into(),
            column(|record| record.work.event.seq).into(),
            column(|record| record.work.subscription.id).into(),
            attempted
                .iter()
                .map(|(_, at, _)| postgres_time(*at))
                .collect::<Vec<_>>()
                .into(),
            attempted
                .iter()
                .map(|(record, ..)| record.work.attempts as i32)
                .collect::<Vec<_>>()
                .into(),
            attempted
                .iter()
                .map(|(.., outcome)| duration_ms(outcome))
                .collect::<Vec<f32>>()
                .into(),
            attempted
                .iter()
                .map(|(.., outcome)| outcome.status.map(|status| status as i16))
                .collect::<Vec<_>>()
                .into(),
            attempted
                .iter()
                .map(|(record, ..)| outcome_text(&record.end))
                .collect::<Vec<_>>()
                .into(),
            of_outcome(|outcome| {
                outcome
                    .error
                    .as_ref()
                    .map(|(class, _)| class.as_str().to_owned())
            })
            .into(),
            of_outcome(|outcome| {
                outcome
                    .error
                    .as_ref()
                    .map(|(_, words)| words.replace('\0', ""))
            })
            .into(),
            of_outcome(|outcome| Some(outcome.response.clone()).filter(|text| !text.is_empty()))
                .into(),
        ],
    );
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
