//! Writes rows into a table of the log through the executor, with everything that a DBA added to the table.

use super::layout::Known;
use super::{catalog, user::Acting};
use pgrx::{pg_sys, pg_sys::Datum};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_char};

/// An INSERT, planned once per session: PostgreSQL replans it when the table changes. While it lives, the process acts
/// as the table's owner, so that triggers run as the owner.
pub struct Insert {
    plan: pg_sys::SPIPlanPtr,
    _owner: Acting,
}

thread_local! {
    // By table name. A plan lives as long as the session.
    static PLANS: RefCell<HashMap<&'static str, pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());
}

impl Insert {
    pub fn into_table(known: &'static Known) -> Self {
        let owner = Acting::as_extension_owner(catalog::extension_owner());
        let found = PLANS.with_borrow(|plans| plans.get(known.parent).copied());
        let plan = found.unwrap_or_else(|| {
            let plan = prepare(known);
            PLANS.with_borrow_mut(|plans| plans.insert(known.parent, plan));
            plan
        });
        Self {
            plan,
            _owner: owner,
        }
    }

    /// Writes one row.
    pub fn run(&self, values: &mut [Datum], nulls: &[bool]) {
        let mut flags: Vec<c_char> = nulls
            .iter()
            .map(|is_null| if *is_null { b'n' } else { b' ' } as c_char)
            .collect();
        let (plan, values, flags) = (self.plan, values.as_mut_ptr(), flags.as_mut_ptr());
        // SAFETY: the plan is kept, and has a value and a flag for each of its parameters, which outlive the call. An
        // ERROR inside ends what SPI opened.
        let status = unsafe {
            pg_sys::SPI_connect();
            let status = pg_sys::SPI_execute_plan(plan, values, flags, false, 0);
            pg_sys::SPI_finish();
            status
        };
        if status < 0 {
            pgrx::error!("pg_herald: error {status} while the log was written");
        }
    }
}

fn prepare(known: &Known) -> pg_sys::SPIPlanPtr {
    let text = CString::new(known.insert).expect("a statement has no NUL");
    let mut types: Vec<pg_sys::Oid> = known.columns.iter().map(|column| column.type_oid).collect();
    let (text, count, types) = (text.as_ptr(), types.len() as i32, types.as_mut_ptr());
    // SAFETY: a NUL-terminated text with one type for each parameter; the plan is kept beyond the connection.
    let plan = unsafe {
        pg_sys::SPI_connect();
        let plan = pg_sys::SPI_prepare(text, count, types);
        if !plan.is_null() {
            pg_sys::SPI_keepplan(plan);
        }
        pg_sys::SPI_finish();
        plan
    };
    if plan.is_null() {
        pgrx::error!("pg_herald: the statement that writes the log cannot be prepared");
    }
    plan
}
