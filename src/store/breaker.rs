//! Breakers that opened or closed.

use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::{Prepared, column};
use herald_dispatch::effects::Turned;
use pgrx::Spi;

/// Notes what breakers are now, all of them in one transaction: a network that fails opens many at once.
pub fn note_breakers(turned: &[Turned]) -> Result<(), TransactionError> {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/note_breakers.sql"));
    let since = |turned: &Turned| turned.open.as_ref().map(|(since, _)| *since);
    let failure = |turned: &Turned| turned.open.as_ref().map(|(_, failure)| failure.clone());
    transaction(|| {
        Spi::connect_mut(|client| {
            STATEMENT.run(
                client,
                vec![
                    column(turned, |turned| turned.subscription),
                    column(turned, since),
                    column(turned, failure),
                ],
            );
        });
    })
}
