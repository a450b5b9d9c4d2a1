//! A row of the log as the worker's event.

use herald_core::event::Event;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::SpiTupleTable;

/// Microseconds between 1970-01-01 and 2000-01-01, from which PostgreSQL counts.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// An event and the transaction that wrote it.
#[derive(Debug)]
pub struct Logged {
    pub event: Event,
    pub xid: u64,
}

/// The row that `rows` stands at, of a query that selects the columns of `read_window.sql`.
pub fn logged(rows: &SpiTupleTable<'_>) -> Option<Logged> {
    let text = |column: usize| rows.get::<String>(column).ok().flatten();
    Some(Logged {
        xid: text(3)?.parse().ok()?,
        event: Event {
            slot: rows.get::<i16>(1).ok()??,
            seq: rows.get::<i64>(2).ok()??,
            uid: text(4)?,
            id: text(5)?,
            source: text(6)?,
            r#type: text(7)?,
            subject: text(8),
            time_micros: unix_micros(rows.get::<TimestampWithTimeZone>(9).ok()??),
            key: text(10),
            tenant: text(11),
            priority: text(12)?,
            dataschema: text(13),
            extensions: text(14),
            size: rows.get::<i32>(15).ok()??,
            data: text(16),
        },
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
