//! A row of the log as the worker's event.

use crate::pg::pages::Row;
use herald_core::event::Event;
use pgrx::datum::{TimestampWithTimeZone, Uuid};

/// Microseconds between 1970-01-01 and 2000-01-01, from which PostgreSQL counts.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// An event and the transaction that wrote it.
#[derive(Debug)]
pub struct Logged {
    pub event: Event,
    pub xid: u64,
}

/// A row of a query that selects the columns of `read_window.sql`.
pub fn logged(row: &Row<'_>) -> Option<Logged> {
    let uid = row.get::<Uuid>(4)?;
    let uid = uuid::Uuid::from_bytes(*uid.as_bytes()).to_string();
    Some(Logged {
        xid: row.transaction_id(3)?,
        event: Event {
            slot: row.get(1)?,
            seq: row.get(2)?,
            id: row.text(5).unwrap_or_else(|| uid.clone()),
            uid,
            source: row.text(6)?,
            r#type: row.text(7)?,
            subject: row.text(8),
            time_micros: unix_micros(row.get::<TimestampWithTimeZone>(9)?),
            key: row.text(10),
            tenant: row.text(11),
            priority: row.text(12)?,
            dataschema: row.text(13),
            extensions: row.text(14),
            size: row.get(15)?,
            data: row.text(16),
            context: row.text(17),
        },
    })
}

/// A row of `read_bare.sql`: an event of which only this can be read.
pub fn bare(row: &Row<'_>) -> Option<Logged> {
    let uid = row.get::<Uuid>(4)?;
    let uid = uuid::Uuid::from_bytes(*uid.as_bytes()).to_string();
    let time_micros = unix_micros(row.get::<TimestampWithTimeZone>(6)?);
    let event = Event {
        slot: row.get(1)?,
        seq: row.get(2)?,
        tenant: row.text(7),
        ..Event::new(&uid, "", &row.text(5)?, time_micros)
    };
    Some(Logged {
        xid: row.transaction_id(3)?,
        event,
    })
}

/// Microseconds since 1970 of a PostgreSQL time.
pub fn unix_micros(time: TimestampWithTimeZone) -> i64 {
    i64::from(time).saturating_add(POSTGRES_EPOCH)
}

/// The PostgreSQL time of microseconds since 1970.
pub fn postgres_time(unix_micros: i64) -> TimestampWithTimeZone {
    TimestampWithTimeZone::try_from(unix_micros.saturating_sub(POSTGRES_EPOCH))
        .unwrap_or_else(|_| TimestampWithTimeZone::positive_infinity())
}
