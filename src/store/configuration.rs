//! What ALTER DATABASE and ALTER ROLE set: no signal announces it, and a running session does not adopt it.

use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::Prepared;
use herald_dispatch::store::Configuration;
use pgrx::{Spi, pg_sys};

/// What was set for this database and the worker's role, as text to compare.
#[derive(Debug)]
pub struct Configured(Option<String>);

impl Configured {
    /// Reads what the session that has just begun has adopted.
    pub fn now(extension: pg_sys::Oid) -> Result<Self, TransactionError> {
        let (set, _) = look(extension)?;
        Ok(Self(set))
    }

    /// Returns whether it has changed since, or the extension is gone.
    pub fn compare(&self, extension: pg_sys::Oid) -> Result<Configuration, TransactionError> {
        let (set, is_extension_there) = look(extension)?;
        Ok(if !is_extension_there {
            Configuration::Gone
        } else if set != self.0 {
            Configuration::Changed
        } else {
            Configuration::Same
        })
    }
}

/// Returns what was set for this session, and whether the extension is still the one that the worker was started for.
fn look(extension: pg_sys::Oid) -> Result<(Option<String>, bool), TransactionError> {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../sql/queries/load_configuration.sql"));
    transaction(|| {
        Spi::connect_mut(|client| {
            let row = STATEMENT.run(client, vec![extension.into()]).first();
            let (set, is_there) = row.get_two::<String, bool>().unwrap_or_default();
            (set, is_there.unwrap_or(false))
        })
    })
}
