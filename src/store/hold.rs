//! Why nothing may be sent from a database.

use crate::VERSION;
use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::Prepared;
use pgrx::Spi;

/// Returns why the worker must not work, or `None`.
pub fn hold_reason() -> Result<Option<String>, TransactionError> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/hold_reason.sql"));
    transaction(|| {
        Spi::connect_mut(|client| {
            let rows = STATEMENT.run(client, vec![VERSION.into()]).first();
            if rows.is_empty() {
                return Some("the extension is gone".to_owned());
            }
            rows.get_one::<String>().ok().flatten()
        })
    })
}
