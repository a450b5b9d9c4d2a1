//! Breakers that opened or closed.

use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::Prepared;
use herald_dispatch::effects::Turned;
use pgrx::Spi;

/// Notes what a breaker is now.
pub fn note_breaker(turned: Turned) -> Result<(), TransactionError> {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/note_breaker.sql"));
    let (since, failure) = turned.open.unzip();
    transaction(|| {
        Spi::connect_mut(|client| {
            STATEMENT.run(
                client,
                vec![turned.subscription.into(), since.into(), failure.into()],
            );
        });
    })
}
