//! `herald.verify`, for receivers of webhooks in the database. Hashing a request cannot be interrupted, so each part is
//! limited first.

use crate::errors::invalid;
use herald_core::signing::MAX_TEXT_BYTES;
use herald_core::signing::verify::{
    Check, MAX_BODY_BYTES, MAX_HEADERS_BYTES, MAX_METHOD_BYTES, MAX_SCHEME_BYTES, MAX_URL_BYTES,
    Received,
};
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value;

/// Returns whether a request is signed by `scheme` with this secret, and its signed time, if any, is within `tolerance`
/// of now. Without headers or a body it is not signed.
#[pg_extern(sql = false)]
fn verify(
    scheme: &str,
    secret: &str,
    headers: Option<&str>,
    body: Option<&[u8]>,
    tolerance: Interval,
    method: Option<&str>,
    url: Option<&str>,
) -> Result<bool, ErrorReport> {
    for (name, bytes, most) in [
        ("scheme", scheme.len(), MAX_SCHEME_BYTES),
        ("secret", secret.len(), MAX_TEXT_BYTES),
        ("headers", headers.map_or(0, str::len), MAX_HEADERS_BYTES),
        ("body", body.map_or(0, <[u8]>::len), MAX_BODY_BYTES),
        ("method", method.map_or(0, str::len), MAX_METHOD_BYTES),
        ("url", url.map_or(0, str::len), MAX_URL_BYTES),
    ] {
        if bytes > most {
            return Err(too_long(name, bytes, most));
        }
    }
    let scheme = match serde_json::from_str(scheme) {
        Ok(parts @ Value::Object(_)) => parts,
        _ => Value::from(scheme),
    };
    let check = Check::new(&scheme, secret).map_err(invalid)?;
    let tolerance = u64::try_from(tolerance.as_micros() / 1_000_000)
        .map_err(|_| refused("tolerance is negative".into()).set_hint("Leave it out for 300 s."))?;
    let headers = headers.and_then(|headers| serde_json::from_str(headers).ok());
    let (Some(Value::Object(headers)), Some(body)) = (headers, body) else {
        return Ok(false);
    };
    let header = |wanted: &str| {
        let mut values = headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(value), None) => value,
            // Of two names that differ only in case, neither counts.
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

/// Returns the most bytes of headers that are read. `herald.verify` asks before they become text.
#[pg_extern(sql = false)]
fn max_headers_bytes() -> i32 {
    MAX_HEADERS_BYTES as i32
}

fn too_long(name: &str, bytes: usize, most: usize) -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("{name} is too long to be verified"),
        "verify",
    )
    .set_detail(format!("It has {bytes} bytes; allowed are {most}."))
    .set_hint("Refuse such a request before you verify it.")
}

fn refused(message: String) -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        message,
        "verify",
    )
}
