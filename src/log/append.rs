//! Writing events into the log, in the user's own transaction.
//!
//! What comes here is finished: no value of the user's is converted or evaluated below this line, because it runs
//! with the rights of the extension's owner.

use crate::pg::{catalog, identity, transaction, user::Acting};
use crate::{prepared::Prepared, wake};
use pgrx::Spi;
use pgrx::datum::{JsonString, TimestampWithTimeZone, Uuid};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How many slots the ring of events has.
pub const SLOTS: i64 = 32;

/// What the events of one statement have in common.
#[derive(Debug, Clone)]
pub struct Common {
    pub source: String,
    pub context: String,
}

/// An event that has no number yet.
#[derive(Debug, Clone, Default)]
pub struct NewEvent {
    pub id: Option<String>,
    pub r#type: String,
    pub subject: Option<String>,
    pub key: Option<String>,
    pub tenant: Option<String>,
    pub priority: Option<String>,
    pub dataschema: Option<String>,
    pub extensions: Option<String>,
    pub data: Option<String>,
    /// When it happened, if not now.
    pub time: Option<TimestampWithTimeZone>,
}

/// What became of an event that was appended.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    pub slot: i16,
    pub seq: i64,
    pub uid: uuid::Uuid,
}

/// Appends one event and wakes the worker at commit.
pub fn append_one(common: &Common, event: NewEvent) -> Appended {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/append_event.sql"));
    let uid = uuid::Uuid::now_v7();
    let slot = current_slot();
    number_after_id();
    let _owner = Acting::as_extension_owner(catalog::extension_owner());
    let seq = Spi::connect_mut(|client| {
        STATEMENT
            .run(
                client,
                vec![
                    slot.into(),
                    identity::origin().into(),
                    event.time.unwrap_or_else(now).into(),
                    Uuid::from_bytes(*uid.as_bytes()).into(),
                    event.id.into(),
                    common.source.as_str().into(),
                    event.r#type.into(),
                    event.subject.into(),
                    event.key.into(),
                    event.tenant.into(),
                    event.priority.unwrap_or_else(normal).into(),
                    event.dataschema.into(),
                    event.extensions.map(JsonString).into(),
                    JsonString(common.context.clone()).into(),
                    event.data.map(JsonString).into(),
                ],
            )
            .first()
            .get_one::<i64>()
            .ok()
            .flatten()
            .expect("an inserted event has a number")
    });
    wake::at_commit();
    Appended { slot, seq, uid }
}

/// Appends the events of one statement in their order and wakes the worker at commit. They have no id of the
/// caller's, no dataschema and the time of now.
pub fn append_many(common: &Common, events: Vec<NewEvent>) {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/append_events.sql"));
    if events.is_empty() {
        return;
    }
    number_after_id();
    let count = events.len();
    let mut uids = Vec::with_capacity(count);
    let mut types = Vec::with_capacity(count);
    let mut subjects = Vec::with_capacity(count);
    let mut keys = Vec::with_capacity(count);
    let mut tenants = Vec::with_capacity(count);
    let mut priorities = Vec::with_capacity(count);
    let mut extensions = Vec::with_capacity(count);
    let mut data = Vec::with_capacity(count);
    for event in events {
        uids.push(Uuid::from_bytes(*uuid::Uuid::now_v7().as_bytes()));
        types.push(event.r#type);
        subjects.push(event.subject);
        keys.push(event.key);
        tenants.push(event.tenant);
        priorities.push(event.priority.unwrap_or_else(normal));
        extensions.push(event.extensions.map(JsonString));
        data.push(event.data.map(JsonString));
    }
    let _owner = Acting::as_extension_owner(catalog::extension_owner());
    Spi::connect_mut(|client| {
        STATEMENT.run(
            client,
            vec![
                current_slot().into(),
                identity::origin().into(),
                now().into(),
                common.source.as_str().into(),
                JsonString(common.context.clone()).into(),
                uids.into(),
                types.into(),
                subjects.into(),
                keys.into(),
                tenants.into(),
                priorities.into(),
                extensions.into(),
                data.into(),
            ],
        );
    });
    wake::at_commit();
}

/// A transaction gets its id before it draws a number. The reader's lower bound rests on this order: what a snapshot
/// shows neither as ended nor as running has only numbers that were drawn after it.
fn number_after_id() {
    transaction::assign_id();
}

/// The slot that a row written now goes to.
///
/// Sessions may disagree for a while after the period was changed: any slot is right as long as its rows are found,
/// and a slot is emptied only after looking at every row in it.
fn current_slot() -> i16 {
    let micros = chrono::Utc::now().timestamp_micros();
    (micros.div_euclid(period_micros()).rem_euclid(SLOTS)) as i16
}

fn period_micros() -> i64 {
    const VALID: Duration = Duration::from_secs(30);
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../sql/queries/load_ring_period.sql"));
    thread_local! {
        static CACHED: Cell<Option<(Instant, i64)>> = const { Cell::new(None) };
    }
    if let Some((at, period)) = CACHED.get()
        && at.elapsed() < VALID
    {
        return period;
    }
    let _owner = Acting::as_extension_owner(catalog::extension_owner());
    let period = Spi::connect_mut(|client| {
        STATEMENT
            .run(client, vec![])
            .first()
            .get_one::<i64>()
            .ok()
            .flatten()
    })
    .unwrap_or(24 * 3_600 * 1_000_000)
    .max(1);
    CACHED.set(Some((Instant::now(), period)));
    period
}

fn now() -> TimestampWithTimeZone {
    pgrx::datum::datetime_support::clock_timestamp()
}

fn normal() -> String {
    "normal".to_owned()
}
