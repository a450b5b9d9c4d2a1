//! Queries that pgrx would not run as needed.

use super::pages::Page;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::spi::SpiClient;
use std::ffi::{CString, c_char};

/// Returns the rows of a query that sees everything committed by now. Raises a failure as an ERROR.
///
/// Under REPEATABLE READ or SERIALIZABLE a transaction keeps its old snapshot but fires the current triggers: it would
/// not find the definition of a newer watch, and a session would cache an outdated one. The query is planned each time:
/// callers keep what they read this way.
pub fn latest<'c>(
    client: &'c SpiClient<'_>,
    text: &str,
    arguments: &[DatumWithOid<'_>],
) -> Page<'c> {
    // SAFETY: inside a transaction.
    let snapshot = unsafe { pg_sys::GetLatestSnapshot() };
    execute(client, text, arguments, snapshot, true)
}

/// Returns the rows of a query that writes only if it finds something to do: otherwise it takes no transaction id.
pub fn may_write<'c>(
    client: &'c SpiClient<'_>,
    text: &str,
    arguments: &[DatumWithOid<'_>],
) -> Page<'c> {
    execute(client, text, arguments, std::ptr::null_mut(), false)
}

/// Runs a query. Without a snapshot, each statement takes its own.
fn execute<'c>(
    _client: &'c SpiClient<'_>,
    text: &str,
    arguments: &[DatumWithOid<'_>],
    snapshot: pg_sys::Snapshot,
    is_read_only: bool,
) -> Page<'c> {
    let source = CString::new(text).expect("a query is written in this crate and has no NUL");
    let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    let mut values: Vec<pg_sys::Datum> = arguments
        .iter()
        .map(|argument| {
            argument
                .datum()
                .map_or(0.into(), |datum| datum.sans_lifetime())
        })
        .collect();
    let nulls: Vec<c_char> = arguments
        .iter()
        .map(|argument| if argument.datum().is_some() { b' ' } else { b'n' } as c_char)
        .collect();
    // SAFETY: an SPI connection is open, as `_client` shows; types, values and nulls are as many as the arguments, and
    // outlive the calls. The plan is freed with the connection, the rows with the page.
    unsafe {
        let plan = pg_sys::SPI_prepare(source.as_ptr(), types.len() as i32, types.as_mut_ptr());
        if plan.is_null() {
            let status = pg_sys::SPI_result;
            pgrx::error!("pg_herald: error {status} in: {text}");
        }
        let status = pg_sys::SPI_execute_snapshot(
            plan,
            values.as_mut_ptr(),
            nulls.as_ptr(),
            snapshot,
            std::ptr::null_mut(),
            is_read_only,
            !is_read_only,
            0,
        );
        if status < 0 {
            pgrx::error!("pg_herald: error {status} in: {text}");
        }
        Page::fetched()
    }
}
