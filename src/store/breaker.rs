//! Breakers that opened or closed, and how long receivers were up.

use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::{Prepared, column};
use herald_dispatch::effects::Turned;
use pgrx::Spi;
use std::collections::BTreeMap;
use std::time::Duration;

/// Notes what breakers are now, and how long receivers were up and down, all of it in one transaction: a network that
/// fails opens many breakers at once.
pub fn note_breakers(
    turned: &[&Turned],
    uptime: &BTreeMap<i64, (Duration, Duration)>,
) -> Result<(), TransactionError> {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/note_breakers.sql"));
    static UPTIME: Prepared = Prepared::write(include_str!("../../sql/queries/note_uptime.sql"));
    let since = |turned: &&Turned| turned.open.as_ref().map(|(since, _)| *since);
    let failure = |turned: &&Turned| turned.open.as_ref().map(|(_, failure)| failure.clone());
    let uptime: Vec<(i64, Duration, Duration)> = uptime
        .iter()
        .map(|(id, (up, down))| (*id, *up, *down))
        .collect();
    transaction(|| {
        Spi::connect_mut(|client| {
            if !turned.is_empty() {
                STATEMENT.run(
                    client,
                    vec![
                        column(turned, |turned| turned.subscription),
                        column(turned, since),
                        column(turned, failure),
                    ],
                );
            }
            if !uptime.is_empty() {
                UPTIME.run(
                    client,
                    vec![
                        column(&uptime, |(id, ..)| *id),
                        column(&uptime, |(_, up, _)| up.as_secs_f64()),
                        column(&uptime, |(.., down)| down.as_secs_f64()),
                    ],
                );
            }
        });
    })
}
