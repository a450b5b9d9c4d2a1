//! Reads a row of the log as the worker's event.

use crate::life;
use crate::pg::pages::Row;
use crate::pg::time::unix_micros;
use herald_core::event::Event;
use herald_core::limits::{self, Limit};
use herald_dispatch::deaths::Place;
use herald_dispatch::log::Logged;
use pgrx::datum::{TimestampWithTimeZone, Uuid};

/// The columns of `read_window.sql` without a length limit, and how much of each is read.
const TEXTS: [(usize, Limit); 10] = [
    (5, limits::ID),
    (6, limits::SOURCE),
    (7, limits::TYPE),
    (8, limits::SUBJECT),
    (10, limits::KEY),
    (11, limits::TENANT),
    (12, PRIORITY),
    (13, limits::DATASCHEMA),
    (14, limits::EXTENSIONS),
    (17, limits::CONTEXT),
];
const PRIORITY: Limit = Limit {
    name: "priority",
    bytes: 6,
};
const DATA: usize = 16;

/// Returns how many bytes [`logged`] takes of a row. Fetches only what tells the lengths.
pub fn bytes(row: &Row<'_>, largest: i32) -> usize {
    let texts = TEXTS.iter();
    let texts = texts.map(|(column, limit)| row.text_bytes(*column).min(2 * limit.bytes));
    let data = row.text_bytes(DATA);
    texts.sum::<usize>() + if is_read(data, largest) { data } else { 0 }
}

fn is_read(data: usize, largest: i32) -> bool {
    data <= usize::try_from(largest).unwrap_or(0)
}

/// Reads a row with the columns of `read_window.sql`. Does not fetch data larger than `largest`.
///
/// An attribute beyond its limit, which capture and emit never write, is cut and marked, and the event is for nobody:
/// it counts as an event whose data is too large for all.
pub fn logged(row: &Row<'_>, largest: i32) -> Option<Logged> {
    let (slot, seq) = place_of(row)?;
    let uid = row.get::<Uuid>(4)?;
    let uid = uuid::Uuid::from_bytes(*uid.as_bytes()).to_string();
    let mut is_within_limits = true;
    let mut text = |wanted: usize| {
        let (column, limit) = TEXTS.into_iter().find(|(column, _)| *column == wanted)?;
        if row.text_bytes(column) <= limit.bytes {
            return row.text(column);
        }
        is_within_limits = false;
        Some(limit.marked(&row.beginning(column, limit.bytes)?))
    };
    let mut event = Event {
        slot,
        seq,
        id: text(5).unwrap_or_else(|| uid.clone()),
        uid,
        source: text(6)?,
        r#type: text(7)?,
        subject: text(8),
        time_micros: unix_micros(row.get::<TimestampWithTimeZone>(9)?),
        deliver_at_micros: row.get::<TimestampWithTimeZone>(18).map(unix_micros),
        key: text(10),
        tenant: text(11),
        priority: text(12)?,
        dataschema: text(13),
        extensions: text(14),
        size: row.get(15)?,
        data: None,
        context: text(17),
    };
    let data = row.text_bytes(DATA);
    if !is_within_limits || !is_read(data, largest) {
        // Even if the row's own size says otherwise.
        event.size = event.size.max(if is_within_limits {
            data as i32
        } else {
            i32::MAX
        });
    } else {
        event.data = row.text(DATA);
    }
    Some(Logged {
        xid: row.transaction_id(3)?,
        event,
    })
}

/// Reads a row of `read_bare.sql`: an event of which nothing else can be read.
pub fn bare(row: &Row<'_>) -> Option<Logged> {
    let (slot, seq) = place_of(row)?;
    let uid = row.get::<Uuid>(4)?;
    let uid = uuid::Uuid::from_bytes(*uid.as_bytes()).to_string();
    let time_micros = unix_micros(row.get::<TimestampWithTimeZone>(6)?);
    let event = Event {
        slot,
        seq,
        tenant: row.text(7),
        ..Event::new(&uid, "", &row.text(5)?, time_micros)
    };
    Some(Logged {
        xid: row.transaction_id(3)?,
        event,
    })
}

/// Returns the slot and the number of a row, and notes that the worker is at it.
fn place_of(row: &Row<'_>) -> Option<(i16, i64)> {
    let (slot, seq) = (row.get(1)?, row.get(2)?);
    life::at_event(Place::of_event(slot, seq));
    Some((slot, seq))
}
