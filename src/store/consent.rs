//! Receivers' answers to the question whether they want deliveries.

use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::Prepared;
use herald_dispatch::effects::Answered;
use pgrx::Spi;

/// Notes a receiver's answer.
pub fn note_consent(answered: Answered) -> Result<(), TransactionError> {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/note_consent.sql"));
    let Answered {
        subscription,
        generation,
        consent,
    } = answered;
    let (rate, fault) = match consent {
        Ok(rate) => (rate.map(i64::from), None),
        Err(fault) => (None, Some(fault)),
    };
    transaction(|| {
        Spi::connect_mut(|client| {
            STATEMENT.run(
                client,
                vec![
                    subscription.into(),
                    rate.into(),
                    fault.into(),
                    generation.into(),
                ],
            );
        });
    })
}
