//! Housekeeping, one part of a round at a time.

use crate::failpoint;
use crate::pg::query;
use crate::pg::transaction::{TransactionError, transaction};
use herald_dispatch::cleaned::{Cleaned, Part};
use pgrx::Spi;

/// Empties what is past its retention.
pub fn keep(part: Part) -> Result<Option<Cleaned>, TransactionError> {
    let text = include_str!("../../sql/queries/keep_house.sql");
    transaction(|| {
        let done = Spi::connect(|client| {
            let arguments = [part.released_to.into(), part.number.into()];
            let rows = query::may_write(client, text, &arguments);
            let row = rows.rows().next()?;
            Some(Cleaned {
                period_micros: row.get::<i64>(1),
                has_more: row.get::<bool>(2) == Some(true),
                released_to: row.get::<i64>(3),
                next_part: row.get::<i32>(4).unwrap_or(0),
            })
        });
        if done.is_some_and(|done| done.has_more) {
            failpoint::reached("mid_truncation");
        }
        done
    })
}
