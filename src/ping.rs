//! The mailbox of `ping()`: a session asks for one test request; the worker sends it and returns the answer.

use crate::pg::mailbox::{self, About, Answer};
use crate::pg::{identity, shmem};
use herald_core::attempt::outcome::Outcome;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// Asks the worker and waits for the answer.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn ping(
    subscription_id: i64,
    timeout_micros: i64,
    event_slot: Option<i16>,
    event_seq: Option<i64>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(outcome, String),
            name!(status_code, Option<i32>),
            name!(error_class, Option<String>),
            name!(error, Option<String>),
            name!(duration_ms, f64),
            name!(response, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let database = identity::database();
    let Some(registry) = shmem::registry() else {
        return Err(fault("ping() needs the worker's shared memory")
            .set_detail("pg_herald is not in shared_preload_libraries.")
            .set_hint("Add it in postgresql.conf and restart the server, or emit an event and look at herald.attempt."));
    };
    let Some(entry) = registry
        .find(database)
        .filter(|entry| entry.pid().is_some())
    else {
        return Err(
            fault("the worker does not run").set_hint("See: select * from herald.doctor();")
        );
    };
    let about = About {
        subscription: subscription_id,
        event: event_slot.zip(event_seq),
    };
    let Some(request) = mailbox::ask(database, about) else {
        return Err(fault("too many pings are under way")
            .set_detail("A subscription has at most 4 at once, a role 8, a database 32, and the cluster 64.")
            .set_hint("Wait until one of them has its answer, and try again."));
    };
    entry.call();
    let until = Instant::now() + Duration::from_micros(timeout_micros.max(0).unsigned_abs());
    loop {
        if let Some(answer) = request.answer() {
            return Ok(TableIterator::once(row(answer)));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(fault("the ping was not answered in time")
                .set_hint("Give it more time with timeout => '1 min', or see herald.doctor()."));
        }
        crate::pg::wait::wait_for_latch(left.min(Duration::from_millis(10)));
    }
}

type Row = (
    String,
    Option<i32>,
    Option<String>,
    Option<String>,
    f64,
    Option<String>,
);

fn row(answer: Answer) -> Row {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    (
        if answer.is_success {
            "delivered"
        } else {
            "failed"
        }
        .to_owned(),
        Some(i32::from(answer.status)).filter(|status| *status != 0),
        text(answer.error_class),
        text(answer.error),
        answer.duration_ms,
        text(answer.response),
    )
}

/// Returns what a session is told of an outcome.
pub fn answer(outcome: &Outcome) -> Answer {
    let (error_class, error) = match &outcome.error {
        Some((class, words)) => (class.as_str().to_owned(), words.clone()),
        None => (String::new(), String::new()),
    };
    Answer {
        is_success: outcome.is_success(),
        status: outcome.status.unwrap_or(0),
        duration_ms: (outcome.duration.as_micros() as f64) / 1_000.0,
        error_class,
        error,
        response: outcome.response.clone(),
    }
}

fn fault(message: &str) -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        message.to_owned(),
        "ping",
    )
}
