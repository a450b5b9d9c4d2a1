//! Writing events into the log, in the user's own transaction.
//!
//! What comes here is finished: no value of the user's is converted or evaluated below this line, because it runs
//! with the rights of the extension's owner.

use crate::pg::heap::{self, Heap};
use crate::pg::memory::Memory;
use crate::pg::{catalog, identity, latest, random, transaction, user::Acting};
use crate::wake;
use herald_core::uid::Uids;
use pgrx::datum::{TimestampWithTimeZone, Uuid};
use pgrx::{IntoDatum, Spi, pg_sys};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many slots the ring of events has.
pub const SLOTS: i64 = 32;
/// For how long a session goes by the period of the ring that it read.
pub const PERIOD_VALID: Duration = Duration::from_secs(30);

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
    let appended = Slot::open().append(common, event);
    wake::at_commit();
    appended
}

/// Appends the events of one statement in their order and wakes the worker at commit.
pub fn append_many(common: &Common, events: Vec<NewEvent>) {
    if events.is_empty() {
        return;
    }
    let slot = Slot::open();
    let mut memory = Memory::of_statement(c"pg_herald event");
    for event in events {
        memory.run_and_empty(|| {
            slot.append(common, event);
        });
    }
    wake::at_commit();
}

/// The columns of `herald.event`, as [`Slot::append`] writes them.
const COLUMNS: [&str; 18] = [
    "seq",
    "xid",
    "origin",
    "time",
    "uid",
    "size",
    "slot",
    "source",
    "type",
    "id",
    "subject",
    "key",
    "tenant",
    "priority",
    "dataschema",
    "extensions",
    "context",
    "data",
];

/// The slot of the ring that is written now, open for writing. The executor is left out: it would take more time than
/// everything else that capture does, above all for the constraints of `herald.event`, which hold by construction:
/// types and sources are not empty, priorities are checked, and the slot is that of the partition.
struct Slot {
    number: i16,
    xid: u64,
    sequence: pg_sys::Oid,
    heap: Heap,
}

impl Slot {
    fn open() -> Self {
        let number = current_slot();
        let relation = |name: &str| {
            catalog::relation_in_herald(name)
                .unwrap_or_else(|| pgrx::error!("pg_herald: herald.{name} is missing"))
        };
        Self {
            number,
            xid: id_before_number(),
            sequence: relation("event_seq"),
            heap: Heap::open(relation(&format!("event_{number}")), &COLUMNS),
        }
    }

    fn append(&self, common: &Common, event: NewEvent) -> Appended {
        let uid = new_uid();
        let seq = heap::next_value(self.sequence);
        let size = event.data.as_ref().map_or(0, |data| data.len() as i32);
        self.heap.insert([
            seq.into_datum(),
            Some(pg_sys::Datum::from(self.xid)),
            identity::origin().into_datum(),
            event.time.unwrap_or_else(now).into_datum(),
            Uuid::from_bytes(*uid.as_bytes()).into_datum(),
            size.into_datum(),
            self.number.into_datum(),
            common.source.as_str().into_datum(),
            event.r#type.into_datum(),
            event.id.unwrap_or_else(|| uid.to_string()).into_datum(),
            event.subject.into_datum(),
            event.key.into_datum(),
            event.tenant.into_datum(),
            event.priority.as_deref().unwrap_or("normal").into_datum(),
            event.dataschema.into_datum(),
            event.extensions.into_datum(),
            common.context.as_str().into_datum(),
            event.data.into_datum(),
        ]);
        Appended {
            slot: self.number,
            seq,
            uid,
        }
    }
}

/// A transaction gets its id before it draws a number. The reader's lower bound rests on this order: what a snapshot
/// shows neither as ended nor as running has only numbers that were drawn after it.
fn id_before_number() -> u64 {
    transaction::assign_id()
}

/// The slot that a row written now goes to.
///
/// Sessions may disagree for a while after the period was changed: the reader then looks into every slot, and a slot is
/// emptied only after looking at every row in it.
fn current_slot() -> i16 {
    let micros = chrono::Utc::now().timestamp_micros();
    (micros.div_euclid(period_micros()).rem_euclid(SLOTS)) as i16
}

fn period_micros() -> i64 {
    thread_local! {
        static CACHED: Cell<Option<(Instant, i64)>> = const { Cell::new(None) };
    }
    if let Some((at, period)) = CACHED.get()
        && at.elapsed() < PERIOD_VALID
    {
        return period;
    }
    let _owner = Acting::as_extension_owner(catalog::extension_owner());
    let query = include_str!("../../sql/queries/load_ring_period.sql");
    let period = Spi::connect(|client| {
        let rows = latest::query(client, query, &[]);
        let first = rows.rows().next();
        first.and_then(|row| row.get::<i64>(1))
    })
    .unwrap_or(24 * 3_600 * 1_000_000)
    .max(1);
    CACHED.set(Some((Instant::now(), period)));
    period
}

/// A new id, as events and test requests have one.
pub fn new_uid() -> uuid::Uuid {
    thread_local! {
        static UIDS: RefCell<Uids> = const { RefCell::new(Uids::new()) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    UIDS.with_borrow_mut(|uids| uids.next(now.unwrap_or_default(), random::stored()))
}

fn now() -> TimestampWithTimeZone {
    pgrx::datum::datetime_support::clock_timestamp()
}
