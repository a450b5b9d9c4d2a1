//! Scheduled deliveries.

use crate::pg::time::unix_micros;
use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::Prepared;
use herald_dispatch::store::Released;
use pgrx::Spi;
use pgrx::datum::TimestampWithTimeZone;

/// Makes scheduled deliveries due whose time has come.
pub fn release(most: usize) -> Result<Released, TransactionError> {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/release_scheduled.sql"));
    transaction(|| {
        Spi::connect_mut(|client| {
            let mut rows = STATEMENT.run(client, vec![(most as i32).into()]);
            if rows.next().is_none() {
                return Released::default();
            }
            let subscriptions = rows.get::<Vec<i64>>(1).ok().flatten();
            let next_at = rows.get::<TimestampWithTimeZone>(2).ok().flatten();
            Released {
                subscriptions: subscriptions.unwrap_or_default(),
                next_at: next_at.map(unix_micros),
            }
        })
    })
}
