//! Writes events into the log, in the user's own transaction.
//!
//! Events arrive finished: this module converts and evaluates no user value, because it runs with the rights of the
//! extension's owner.

use crate::pg::heap::{self, Heap, Value};
use crate::pg::layout::{Known, Layout, optional, required};
use crate::pg::memory::Memory;
use crate::pg::{catalog, identity, lock, query, random, relcache, transaction, user::Acting};
use crate::wake;
use herald_core::event::uid::Uids;
use herald_dispatch::log::{PERIOD_VALID, SLOTS};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, Spi, pg_sys};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What the events of one statement share.
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
    /// When it is to be delivered, if not as soon as possible.
    pub deliver_at: Option<TimestampWithTimeZone>,
}

impl NewEvent {
    /// Returns its approximate size in memory and in the log.
    pub fn bytes(&self) -> usize {
        let optional = [
            &self.id,
            &self.subject,
            &self.key,
            &self.tenant,
            &self.priority,
            &self.dataschema,
            &self.extensions,
            &self.data,
        ];
        let optional = optional.into_iter().flatten().map(String::len);
        size_of::<Self>() + self.r#type.len() + optional.sum::<usize>()
    }
}

/// The place and the id of an appended event.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    pub slot: i16,
    pub seq: i64,
    pub uid: uuid::Uuid,
}

/// Appends one event and wakes the worker at commit.
pub fn append_one(common: &Common, event: &NewEvent) -> Appended {
    let place = Place::now();
    let appended = Slot::open(&place).append(common, event);
    wake::at_commit();
    appended
}

/// Appends the events of one statement in order and wakes the worker at commit.
pub fn append_many(common: &Common, events: &[NewEvent]) {
    if events.is_empty() {
        return;
    }
    let place = Place::now();
    let mut slot = Slot::open(&place);
    let mut memory = Memory::of_statement(c"pg_herald event");
    for event in events {
        memory.run_and_empty(|| {
            slot.append(common, event);
        });
    }
    wake::at_commit();
}

/// `herald.event`, as [`Slot::append`] writes it.
pub static KNOWN: Known = Known {
    parent: "herald.event",
    columns: &[
        required("seq", pg_sys::INT8OID),
        required("xid", pg_sys::XID8OID),
        required("origin", pg_sys::INT8OID),
        required("time", pg_sys::TIMESTAMPTZOID),
        optional("deliver_at", pg_sys::TIMESTAMPTZOID),
        required("uid", pg_sys::UUIDOID),
        required("size", pg_sys::INT4OID),
        required("slot", pg_sys::INT2OID),
        required("source", pg_sys::TEXTOID),
        required("type", pg_sys::TEXTOID),
        optional("id", pg_sys::TEXTOID),
        optional("subject", pg_sys::TEXTOID),
        optional("key", pg_sys::TEXTOID),
        optional("tenant", pg_sys::TEXTOID),
        required("priority", pg_sys::TEXTOID),
        optional("dataschema", pg_sys::TEXTOID),
        optional("extensions", pg_sys::JSONOID),
        optional("context", pg_sys::JSONOID),
        optional("data", pg_sys::JSONOID),
    ],
    checks: &[
        "event_slot_check",
        "event_source_check",
        "event_type_check",
        "event_priority_check",
    ],
    insert: include_str!("../../sql/queries/insert_event.sql"),
};

/// A slot of the ring, looked up once per session.
struct Place {
    number: i16,
    sequence: pg_sys::Oid,
    layout: Layout,
}

impl Place {
    /// Returns the current slot, and locks it so that it stays as found.
    fn now() -> Rc<Self> {
        thread_local! {
            static FOUND: RefCell<Option<(u64, Rc<Place>)>> = const { RefCell::new(None) };
        }
        let number = current_slot();
        loop {
            let generation = relcache::generation();
            let found = FOUND.with_borrow(|found| {
                let (at, place) = found.as_ref()?;
                (*at == generation && place.number == number).then(|| Rc::clone(place))
            });
            let place = found.unwrap_or_else(|| Rc::new(Self::find(number)));
            lock::for_writing(place.layout.table());
            // The lookup and the lock may have processed invalidations.
            if relcache::generation() == generation {
                FOUND.set(Some((generation, Rc::clone(&place))));
                return place;
            }
        }
    }

    fn find(number: i16) -> Self {
        let relation = |name: &str| {
            let found = catalog::relation(name)
                .unwrap_or_else(|| pgrx::error!("pg_herald: {name} is missing"));
            relcache::follow(found);
            found
        };
        relation(KNOWN.parent);
        Self {
            number,
            sequence: relation("herald_internal.event_seq"),
            layout: Layout::of(relation(&format!("herald_internal.event_{number}")), &KNOWN),
        }
    }
}

/// The current slot of the ring, open for writing. It bypasses the executor, unless a DBA has added something to the
/// table: the executor would take longer than the rest of capture, above all for the constraints of `herald.event`.
/// These hold by construction: types and sources are not empty, priorities are checked, and the slot is that of the
/// partition.
struct Slot<'p> {
    place: &'p Place,
    xid: u64,
    heap: Heap<'p>,
}

impl<'p> Slot<'p> {
    fn open(place: &'p Place) -> Self {
        Self {
            place,
            xid: id_before_number(),
            heap: Heap::open(&place.layout),
        }
    }

    fn append(&mut self, common: &Common, event: &NewEvent) -> Appended {
        let data = event.data.as_deref();
        if let Some(bytes) = data.map(str::len).filter(|bytes| *bytes > heap::LONGEST) {
            raise_too_large(&event.r#type, bytes);
        }
        let uid = new_uid();
        let seq = heap::next_value(self.place.sequence);
        let size = data.map_or(0, |data| data.len() as i32);
        let mut own_id = uuid::Uuid::encode_buffer();
        let own_id = &*uid.as_hyphenated().encode_lower(&mut own_id);
        self.heap.insert([
            Value::Int8(seq),
            Value::Int8(self.xid as i64),
            Value::Int8(identity::origin()),
            Value::Time(event.time.unwrap_or_else(now)),
            event.deliver_at.map_or(Value::Null, Value::Time),
            Value::Uuid(uid.as_bytes()),
            Value::Int4(size),
            Value::Int2(self.place.number),
            Value::Text(&common.source),
            Value::Text(&event.r#type),
            Value::Text(event.id.as_deref().unwrap_or(own_id)),
            event.subject.as_deref().into(),
            event.key.as_deref().into(),
            event.tenant.as_deref().into(),
            Value::Text(event.priority.as_deref().unwrap_or("normal")),
            event.dataschema.as_deref().into(),
            event.extensions.as_deref().into(),
            Value::Text(&common.context),
            data.into(),
        ]);
        Appended {
            slot: self.place.number,
            seq,
            uid,
        }
    }
}

/// Raises an error, as `row_to_json` and `palloc` would: no PostgreSQL value is longer.
fn raise_too_large(event_type: &str, bytes: usize) {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("the event {event_type} is too large"),
        "append",
    )
    .set_detail(format!(
        "Its data has {bytes} bytes, the limit is {}.",
        heap::LONGEST
    ))
    .set_hint(
        "Leave the large columns out of the watch: herald.watch(..., exclude_columns => ...).",
    )
    .report(PgLogLevel::ERROR);
}

/// Assigns the transaction's id before it draws a number. The reader's lower bound rests on this order: a transaction
/// that a snapshot shows neither as ended nor as running drew all its numbers after that snapshot.
fn id_before_number() -> u64 {
    transaction::assign_id()
}

/// Returns the slot for a row written now.
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
    let text = include_str!("../../sql/queries/load_ring_period.sql");
    let period = Spi::connect(|client| {
        let rows = query::latest(client, text, &[]);
        let first = rows.rows().next();
        first.and_then(|row| row.get::<i64>(1))
    })
    .unwrap_or(24 * 3_600 * 1_000_000)
    .max(1);
    CACHED.set(Some((Instant::now(), period)));
    period
}

/// Returns a new id for an event or a test request.
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
