//! Errors that several SQL functions raise, as PostgreSQL reports them.

use herald_core::error::Error;
use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;

/// Returns the report of an error of the core: a parameter is invalid.
pub fn invalid(error: Error) -> ErrorReport {
    let mut report = ErrorReport::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        error.message(),
        "pg_herald",
    );
    if let Some(detail) = error.detail() {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(hint);
    }
    report
}

/// Returns the error for an event type that only pg_herald itself makes.
pub fn reserved_type(event_type: &str) -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_RESERVED_NAME,
        format!("the event type \"{event_type}\" is reserved"),
        "type",
    )
    .set_detail("Types that begin with herald. are pg_herald's own operational events.")
    .set_hint("Choose another prefix.")
}
