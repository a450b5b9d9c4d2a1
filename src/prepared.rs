//! Statements of `sql/queries`, prepared once per session and kept.

use crate::pg::pages::Pages;
use pgrx::datum::{DatumWithOid, IntoDatum};
use pgrx::pg_sys::PgOid;
use pgrx::spi::{OwnedPreparedStatement, SpiClient, SpiTupleTable};
use std::cell::RefCell;
use std::collections::HashMap;

/// A statement by its text. Its parameters have the types of the first call's arguments.
#[derive(Debug)]
pub struct Prepared {
    text: &'static str,
    writes: bool,
}

thread_local! {
    // Keyed by the address of the text: each statement has its own.
    static PLANS: RefCell<HashMap<usize, &'static OwnedPreparedStatement>> = RefCell::new(HashMap::new());
}

impl Prepared {
    /// Declares a statement that only reads: it takes no transaction id.
    pub const fn read(text: &'static str) -> Self {
        Self {
            text,
            writes: false,
        }
    }

    /// Declares a statement that writes.
    pub const fn write(text: &'static str) -> Self {
        Self { text, writes: true }
    }

    /// Runs it. Raises a failure as an ERROR.
    pub fn run<'c>(
        &self,
        client: &mut SpiClient<'c>,
        arguments: Vec<DatumWithOid<'_>>,
    ) -> SpiTupleTable<'c> {
        let plan = self.plan(client, &arguments);
        let result = if self.writes {
            client.update(plan, None, &arguments)
        } else {
            client.select(plan, None, &arguments)
        };
        result.unwrap_or_else(|error| pgrx::error!("pg_herald: {error}: {}", self.text))
    }

    /// Runs it as its rows are fetched. Raises a failure as an ERROR.
    pub fn pages<'c>(&self, client: &SpiClient<'c>, arguments: Vec<DatumWithOid<'_>>) -> Pages<'c> {
        let plan = self.plan(client, &arguments);
        let cursor = client
            .try_open_cursor(plan, &arguments)
            .unwrap_or_else(|error| pgrx::error!("pg_herald: {error}: {}", self.text));
        Pages::of(cursor)
    }

    fn plan(
        &self,
        client: &SpiClient<'_>,
        arguments: &[DatumWithOid<'_>],
    ) -> &'static OwnedPreparedStatement {
        let address = self.text.as_ptr() as usize;
        if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&address).copied()) {
            return plan;
        }
        let types: Vec<PgOid> = arguments
            .iter()
            .map(|argument| PgOid::from(argument.oid()))
            .collect();
        let plan = if self.writes {
            client.prepare_mut(self.text, &types)
        } else {
            client.prepare(self.text, &types)
        };
        let plan = plan
            .unwrap_or_else(|error| pgrx::error!("pg_herald: {error}: {}", self.text))
            .keep();
        // A plan lives as long as the session: each statement text has only one, and freeing it at process exit would
        // reach into memory that PostgreSQL has already freed.
        let plan: &'static OwnedPreparedStatement = Box::leak(Box::new(plan));
        PLANS.with_borrow_mut(|plans| plans.insert(address, plan));
        plan
    }
}

/// Returns an argument with a value of each row: statements get many rows as columns.
pub fn column<'r, R, V: IntoDatum>(rows: &'r [R], value: impl Fn(&'r R) -> V) -> DatumWithOid<'r> {
    rows.iter().map(value).collect::<Vec<_>>().into()
}
