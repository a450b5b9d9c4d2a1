//! SQL functions written in Rust: validation by the core, emit, control of the worker.

use crate::capture;
use crate::errors::{invalid, reserved_type};
use crate::launcher;
use crate::log::append::{self, Common, NewEvent};
use crate::pg::shmem::{self, Demand};
use crate::pg::{catalog, ending, forward, identity, lock, process, transaction, user};
use herald_core::event::attributes::{Attributes, source_of_database};
use herald_core::signing::Secret;
use herald_core::subscription::globs::Glob;
use herald_core::subscription::globs::is_operational;
use herald_core::suggest;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Returns the candidate most similar to `name`, or `None` if none is similar.
#[pg_extern(sql = false)]
fn nearest(name: Option<&str>, candidates: Option<Vec<Option<String>>>) -> Option<String> {
    let candidates: Vec<String> = candidates
        .unwrap_or_default()
        .into_iter()
        .flatten()
        .collect();
    // A long list takes a while: keep it cancellable.
    let candidates = candidates.iter().map(String::as_str);
    let candidates = candidates.inspect(|_| process::check_for_interrupts());
    suggest::nearest(name?, candidates).map(str::to_owned)
}

/// Returns the identity of this database in this cluster.
#[pg_extern(sql = false)]
fn origin() -> i64 {
    identity::origin()
}

/// Generates a signing secret: `v1` or `v1a`.
#[pg_extern(sql = false)]
fn generate_secret(kind: &str) -> Result<String, ErrorReport> {
    let bytes = crate::pg::random::strong::<32>();
    let secret = match kind {
        "v1a" => Secret::from_seed(&bytes),
        _ => Secret::from_bytes(&bytes),
    };
    secret.map(|secret| secret.to_text()).map_err(invalid)
}

/// Raises an error unless the text is a fixed event type.
#[pg_extern(sql = false)]
pub(crate) fn check_event_type(event_type: &str) -> Result<(), ErrorReport> {
    Attributes {
        source: "/",
        r#type: event_type,
        ..Default::default()
    }
    .validate()
    .map_err(invalid)?;
    if is_operational(event_type) {
        return Err(reserved_type(event_type));
    }
    match Glob::parse(event_type) {
        Ok(_) if !event_type.contains('*') => Ok(()),
        Ok(_) => Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "a watch's type is one event type, not a pattern",
            "type",
        )
        .set_hint("Patterns with * belong to subscribe(types => ...).")),
        Err(error) => Err(invalid(error)),
    }
}

/// Appends one event; see `emit` in sql/delivery/emit.sql, which checks the idempotent id.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn append_event(
    event_type: &str,
    data: Option<String>,
    source: &str,
    subject: Option<String>,
    id: Option<String>,
    key: Option<String>,
    occurred_at: Option<TimestampWithTimeZone>,
    deliver_at: Option<TimestampWithTimeZone>,
    priority: &str,
    tenant: Option<String>,
    extensions: Option<String>,
    dataschema: Option<String>,
) -> TableIterator<'static, (name!(slot, i16), name!(seq, i64), name!(uid, pgrx::Uuid))> {
    transaction::refuse_read_only("herald.emit()");
    let appended = append::append_one(
        &Common {
            source: source.to_owned(),
            // emit() runs with the extension's rights.
            context: capture::context(user::outer_user(), &mut Vec::new()),
        },
        &NewEvent {
            id,
            r#type: event_type.to_owned(),
            subject,
            key,
            tenant,
            priority: Some(priority.to_owned()),
            dataschema,
            extensions,
            data: data.map(|json| herald_core::json::minify(&json).into_owned()),
            time: occurred_at,
            deliver_at,
        },
    );
    TableIterator::once((
        appended.slot,
        appended.seq,
        pgrx::Uuid::from_bytes(*appended.uid.as_bytes()),
    ))
}

/// Returns the source of this database's events if `herald.source` is not set.
#[pg_extern(sql = false)]
fn default_source() -> String {
    source_of_database(&catalog::database_name())
}

/// Raises an error unless the attributes make a valid CloudEvent and the session's context is within its limits.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn check_attributes(
    source: &str,
    event_type: &str,
    id: Option<&str>,
    subject: Option<&str>,
    key: Option<&str>,
    tenant: Option<&str>,
    dataschema: Option<&str>,
    extensions: Option<&str>,
) -> Result<Option<String>, ErrorReport> {
    Attributes {
        source,
        r#type: event_type,
        id,
        subject,
        key,
        tenant,
        dataschema,
    }
    .validate()
    .map_err(invalid)?;
    capture::check_context().map_err(invalid)?;
    match extensions {
        None => Ok(None),
        Some(json) => herald_core::event::extensions::check_extensions(json).map_err(invalid),
    }
}

/// Raises PostgreSQL's error if the transaction is read-only, as all are on a standby.
#[pg_extern(sql = false)]
fn refuse_read_only(command: &str) {
    transaction::refuse_read_only(command);
}

/// Starts or stops this database's worker, through the launcher if the library is preloaded. Returns whether this
/// succeeded or soon will.
#[pg_extern(sql = false)]
fn want_worker(wanted: bool) -> bool {
    let database = identity::database();
    let Some(registry) = shmem::registry() else {
        return wanted && launcher::start_worker(database);
    };
    let demand = if wanted {
        Demand::Asked
    } else {
        Demand::Stopped
    };
    let is_noted = registry.demand(database, demand);
    registry.wake_launcher();
    is_noted && registry.has_launcher()
}

/// Returns the worker's process id; null if none runs.
#[pg_extern(sql = false)]
fn worker_pid() -> Option<i32> {
    let entry = shmem::own_entry()?;
    entry.pid().map(|pid| pid as i32)
}

/// Returns whether the library is preloaded, so that commits wake the worker.
#[pg_extern(sql = false)]
fn is_preloaded() -> bool {
    shmem::registry().is_some()
}

/// Returns whether the last start of the worker or the launcher found no free process slot.
#[pg_extern(sql = false)]
fn found_no_worker_slot() -> bool {
    shmem::registry().is_some_and(|registry| {
        !registry.has_launcher() || shmem::own_entry().is_some_and(shmem::Entry::found_no_slot)
    })
}

/// Wakes the worker when this transaction commits, because its tables changed.
#[pg_extern(sql = false)]
fn wake_at_commit() {
    crate::wake::at_commit();
}

/// Stops the worker from reading further in the log until this transaction ends, which must be soon.
#[pg_extern(sql = false)]
fn keep_from_reading() {
    let Some(extension) = catalog::extension() else {
        return;
    };
    lock::keep_from_reading(extension);
    pgrx::register_xact_callback(pgrx::PgXactCallbackEvent::PrePrepare, || {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "cannot prepare a transaction in which a subscription with start_from was created",
            "pg_herald",
        )
        .set_detail("The log is not read until such a transaction ends.")
        .set_hint("Commit it without PREPARE TRANSACTION.")
        .report(PgLogLevel::ERROR);
    });
}

/// Asks for the worker when this transaction commits. Called by CREATE EXTENSION.
#[pg_extern(sql = false)]
fn want_worker_at_commit() {
    if shmem::registry().is_some() {
        ending::on_commit(|| {
            want_worker(true);
        });
    }
}

/// Asks for the worker when this transaction ends, even if it rolls back. Called by restart_worker().
#[pg_extern(sql = false)]
fn want_worker_afterwards() {
    ending::at_transaction_end(|| {
        want_worker(true);
    });
}

/// Takes the lock with this name until the transaction ends.
#[pg_extern(sql = false)]
fn take_lock(name: &str) {
    lock::for_transaction(herald_core::lock::number_of(name));
}

/// Takes the lock with this name until the transaction ends, unless another transaction has it. Returns whether it did.
#[pg_extern(sql = false)]
fn try_take_lock(name: &str) -> bool {
    lock::try_for_transaction(herald_core::lock::number_of(name))
}

/// Returns the role that called the running shell; null if none runs.
#[pg_extern(sql = false)]
fn viewer() -> Option<pg_sys::Oid> {
    forward::caller()
}

/// Returns the scheme, host and port of a URL.
#[pg_extern(sql = false)]
fn origin_of(url: &str) -> String {
    herald_core::egress::url_policy::origin_of(url)
}

/// Returns whether a JSON text is nested too deeply to be walked.
#[pg_extern(sql = false)]
fn is_too_deep(valid_json: &str) -> bool {
    herald_core::depth::check(valid_json.as_bytes()).is_err()
}

/// Returns the version of this library.
#[pg_extern(sql = false)]
fn library_version() -> &'static str {
    crate::VERSION
}

/// Returns the timeline of the write-ahead log.
#[pg_extern(sql = false)]
fn timeline() -> i32 {
    identity::timeline()
}
