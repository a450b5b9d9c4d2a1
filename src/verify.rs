//! `herald.verify`: for those who receive webhooks in the database.

use crate::api::invalid;
use herald_core::verify::{Check, Received};
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value;

/// Whether a request is signed after `scheme` with this secret, and of now. What is missing is not signed.
#[pg_extern(sql = false)]
fn verify(
    scheme: &str,
    secret: &str,
    headers: Option<pgrx::JsonB>,
    body: Option<&[u8]>,
    tolerance: Interval,
    method: Option<&str>,
    url: Option<&str>,
) -> Result<bool, ErrorReport> {
    let scheme = match serde_json::from_str(scheme) {
        Ok(parts @ Value::Object(_)) => parts,
        _ => Value::from(scheme),
    };
    let check = Check::new(&scheme, secret).map_err(invalid)?;
    let tolerance = u64::try_from(tolerance.as_micros() / 1_000_000)
        .map_err(|_| refused("tolerance is negative".into()).set_hint("Leave it out for 300 s."))?;
    let (Some(pgrx::JsonB(Value::Object(headers))), Some(body)) = (headers, body) else {
        return Ok(false);
    };
    let header = |wanted: &str| {
        let mut values = headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(value), None) => value,
            // Of two that differ in case nobody can say which one counts.
            _ => None,
        }
    };
    let received = Received {
        header: &header,
        body,
        method: method.unwrap_or("POST"),
        url: url.unwrap_or_default(),
    };
    let now = chrono::Utc::now().timestamp();
    Ok(check.accepts(&received, now, tolerance))
}

fn refused(message: String) -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        message,
        "verify",
    )
}
