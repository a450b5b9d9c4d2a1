//! Reading what configures us as it is now.
//!
//! A transaction in REPEATABLE READ or SERIALIZABLE goes on seeing what was there when it began, while its triggers are
//! those of now: it would look for the definition of a younger watch in vain, and a session would keep an outdated one.

use super::pages::Page;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::spi::SpiClient;
use std::ffi::{CString, c_char};

/// The rows of a query, with all that is committed by now. A failure is raised as an ERROR.
///
/// It is planned each time: what is read this way is kept by whoever asks.
pub fn query<'c>(
    _client: &'c SpiClient<'_>,
    text: &str,
    arguments: &[DatumWithOid<'_>],
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
    // live over the calls. The plan goes with the connection, and the rows with the page.
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
            pg_sys::GetLatestSnapshot(),
            std::ptr::null_mut(),
            true,
            false,
            0,
        );
        if status < 0 {
            pgrx::error!("pg_herald: error {status} in: {text}");
        }
        Page::fetched()
    }
}
