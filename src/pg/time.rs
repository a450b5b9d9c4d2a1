//! Conversions between PostgreSQL's times and Unix times.

use pgrx::datum::TimestampWithTimeZone;

/// Microseconds between 1970-01-01 and 2000-01-01, from which PostgreSQL counts.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Returns the microseconds since 1970 of a PostgreSQL time; `i64::MAX` for infinity.
pub fn unix_micros(time: TimestampWithTimeZone) -> i64 {
    i64::from(time).saturating_add(POSTGRES_EPOCH)
}

/// Returns the PostgreSQL time of microseconds since 1970; infinity for `i64::MAX`, as above.
pub fn postgres_time(unix_micros: i64) -> TimestampWithTimeZone {
    if unix_micros == i64::MAX {
        return TimestampWithTimeZone::positive_infinity();
    }
    TimestampWithTimeZone::try_from(unix_micros.saturating_sub(POSTGRES_EPOCH))
        .unwrap_or_else(|_| TimestampWithTimeZone::positive_infinity())
}
