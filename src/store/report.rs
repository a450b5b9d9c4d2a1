//! What the worker reports of itself, for `herald.worker` and `herald.doctor()`.

use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::Prepared;
use herald_dispatch::report::Report;
use pgrx::{JsonB, Spi};
use serde_json::json;

pub fn write(report: &Report, fresh_types: &[String]) -> Result<(), TransactionError> {
    static STATEMENT: Prepared = Prepared::write(include_str!("../../sql/queries/report.sql"));
    transaction(|| {
        let (error, error_at) = report.last_error.clone().unzip();
        let arguments = vec![
            (std::process::id() as i32).into(),
            JsonB(failing(report)).into(),
            error.into(),
            error_at.into(),
            report.has_new_settings.into(),
            fresh_types.to_vec().into(),
        ];
        Spi::connect_mut(|client| {
            STATEMENT.run(client, arguments);
        });
    })
}

fn failing(report: &Report) -> serde_json::Value {
    let steps = report.failing().map(|(step, failing)| {
        json!({
            "step": step,
            "since_micros": failing.since_micros,
            "last_micros": failing.last_micros,
            "times": failing.times,
            "error": failing.error,
        })
    });
    steps.collect()
}
