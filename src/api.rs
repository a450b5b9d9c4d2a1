//! SQL functions that need what only Rust has: validation by the core, emit, the worker's life.

use crate::capture;
use crate::launcher;
use crate::life;
use crate::log::append::{self, Common, NewEvent};
use crate::log::row::postgres_time;
use crate::pg::shmem::{self, Demand};
use crate::pg::{catalog, ending, forward, identity, lock, process, user};
use crate::settings;
use herald_core::attributes::{Attributes, is_reserved};
use herald_core::auth::SECRET_MEMBERS;
use herald_core::error::Error;
use herald_core::globs::{Glob, TypeGlobs};
use herald_core::options::{MAX_OPTIONS_BYTES, MAX_PEM_BYTES, SubscriptionOptions};
use herald_core::scheme::{KeyForm, Scheme};
use herald_core::signature::{Secret, Signing};
use herald_core::style::StyleOptions;
use herald_core::suggest;
use herald_sender::TlsProfile;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The candidate that is most like `name`, if one is alike at all.
#[pg_extern(sql = false)]
fn nearest(name: Option<&str>, candidates: Option<Vec<Option<String>>>) -> Option<String> {
    let candidates: Vec<String> = candidates
        .unwrap_or_default()
        .into_iter()
        .flatten()
        .collect();
    // There may be many, and each takes a while.
    let candidates = candidates.iter().map(String::as_str);
    let candidates = candidates.inspect(|_| process::check_for_interrupts());
    suggest::nearest(name?, candidates).map(str::to_owned)
}

/// The identity of this database in this cluster.
#[pg_extern(sql = false)]
fn origin() -> i64 {
    identity::origin()
}

/// A fresh signing secret: `v1`, or `v1a`.
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
fn check_event_type(event_type: &str) -> Result<(), ErrorReport> {
    Attributes {
        source: "/",
        r#type: event_type,
        ..Default::default()
    }
    .validate()
    .map_err(invalid)?;
    if is_reserved(event_type) {
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

/// The error about a type that only pg_herald itself makes.
pub(crate) fn reserved_type(event_type: &str) -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_RESERVED_NAME,
        format!("the event type \"{event_type}\" is reserved"),
        "type",
    )
    .set_detail("Types that begin with herald. are pg_herald's own operational events.")
    .set_hint("Choose another prefix.")
}

/// Raises an error unless a subscription with these options is valid under the settings of this session.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn check_subscription(
    name: &str,
    url: &str,
    types: Vec<Option<String>>,
    header_names: Vec<Option<String>>,
    header_values: Vec<Option<String>>,
    secret: Option<&str>,
    timeout_micros: i64,
    retry_schedule_micros: Vec<Option<i64>>,
    retry_jitter: f64,
    max_attempts: Option<i32>,
    success: Option<Vec<Option<i32>>>,
    retry_on: Option<Vec<Option<i32>>>,
    timeout_delay_micros: Option<i64>,
    max_concurrency: i32,
    max_payload: i32,
    max_age_micros: Option<i64>,
    retry_duration_micros: Option<i64>,
    max_backlog: Option<i64>,
    style: &str,
    is_tenants: bool,
) -> Result<(), ErrorReport> {
    let policies = settings::url_policies().map_err(|message| {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            message,
            "subscribe",
        )
    })?;
    let statuses = |option, list: Option<Vec<Option<i32>>>| {
        list.map(|list| without_nulls(option, list)).transpose()
    };
    let header_names = without_nulls("headers", header_names)?;
    let header_values = without_nulls("headers", header_values)?;
    SubscriptionOptions {
        types: without_nulls("types", types)?,
        headers: header_names.into_iter().zip(header_values).collect(),
        secrets: secret.map(str::to_owned).into_iter().collect(),
        timeout_micros,
        retry_schedule_micros: without_nulls("retry_schedule", retry_schedule_micros)?,
        retry_jitter,
        max_attempts,
        success: statuses("success", success)?,
        retry_on: statuses("retry_on", retry_on)?,
        timeout_delay_micros,
        max_concurrency,
        max_payload,
        max_age_micros,
        retry_duration_micros,
        max_backlog,
        style: StyleOptions::parse(style).map_err(invalid)?,
        request_origin: settings::request_origin(),
        ..SubscriptionOptions::new(name, url)
    }
    .validate(policies.of(is_tenants))
    .map_err(invalid)
}

fn without_nulls<T>(option: &str, list: Vec<Option<T>>) -> Result<Vec<T>, ErrorReport> {
    let all: Option<Vec<T>> = list.into_iter().collect();
    all.ok_or_else(|| {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("a member of {option} is null"),
            "subscribe",
        )
        .set_hint("Leave the member out.")
    })
}

/// The most bytes of all options of a subscription together.
#[pg_extern(sql = false)]
fn max_options_bytes() -> i32 {
    MAX_OPTIONS_BYTES
}

/// Raises an error unless a TLS session can be configured with these, in PEM.
#[pg_extern(sql = false)]
fn check_certificates(
    ca: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
) -> Result<(), ErrorReport> {
    let refused = |detail: &str, hint: &str| {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "invalid tls",
            "tls",
        )
        .set_detail(detail)
        .set_hint(hint)
    };
    let longest = [&ca, &certificate, &key].map(|pem| pem.as_ref().map_or(0, String::len));
    if let Some(bytes) = longest.into_iter().find(|bytes| *bytes > MAX_PEM_BYTES) {
        return Err(refused(
            &format!("A member has {bytes} bytes; allowed are {MAX_PEM_BYTES}."),
            "Give only the certificates that are needed.",
        ));
    }
    if [&ca, &certificate, &key].contains(&&Some(String::new())) {
        return Err(refused(
            "A member is empty.",
            "Leave out what you do not want.",
        ));
    }
    let profile = TlsProfile::new(ca, certificate, key).ok_or_else(|| {
        refused(
            "A client certificate needs its private key, and a key its certificate.",
            "Give both, certificate and key, in PEM.",
        )
    })?;
    profile.check().map_err(|fault| {
        refused(
            &fault,
            "Give each member in PEM, whole: ca and certificate as -----BEGIN CERTIFICATE-----, key as -----BEGIN PRIVATE KEY-----.",
        )
    })
}

/// Appends one event; see `emit` in sql/05_delivery.sql, which checks the idempotent id.
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
    priority: &str,
    tenant: Option<String>,
    extensions: Option<String>,
    dataschema: Option<String>,
) -> TableIterator<'static, (name!(slot, i16), name!(seq, i64), name!(uid, pgrx::Uuid))> {
    let appended = append::append_one(
        &Common {
            source: source.to_owned(),
            // emit() runs with the rights of the extension.
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
        },
    );
    TableIterator::once((
        appended.slot,
        appended.seq,
        pgrx::Uuid::from_bytes(*appended.uid.as_bytes()),
    ))
}

/// Raises an error unless the attributes make a valid CloudEvent, and the context of the session is within its limits.
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
        Some(json) => herald_core::extensions::check_extensions(json).map_err(invalid),
    }
}

/// Asks for the worker of this database. Returns whether it runs, or will in a moment.
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

/// The worker's process id; null when none runs.
#[pg_extern(sql = false)]
fn worker_pid() -> Option<i32> {
    let entry = shmem::own_entry()?;
    entry.pid().map(|pid| pid as i32)
}

/// Whether the library is preloaded, so that commits wake the worker.
#[pg_extern(sql = false)]
fn is_preloaded() -> bool {
    shmem::registry().is_some()
}

/// Whether the last try to start the worker, or the launcher, found no free process slot.
#[pg_extern(sql = false)]
fn found_no_worker_slot() -> bool {
    shmem::registry().is_some_and(|registry| {
        !registry.has_launcher() || shmem::own_entry().is_some_and(shmem::Entry::found_no_slot)
    })
}

type Death = (
    i32,
    TimestampWithTimeZone,
    Option<TimestampWithTimeZone>,
    String,
    i32,
    Option<i16>,
    Option<i64>,
    Option<i64>,
);

/// What is known of the last death of this database's worker.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn last_death() -> TableIterator<
    'static,
    (
        name!(deaths, i32),
        name!(died_at, TimestampWithTimeZone),
        name!(starts_at, Option<TimestampWithTimeZone>),
        name!(step, String),
        name!(deliveries, i32),
        name!(event_slot, Option<i16>),
        name!(event_seq, Option<i64>),
        name!(subscription_id, Option<i64>),
    ),
> {
    let row = |death: life::Death| -> Death {
        (
            i32::try_from(death.deaths).unwrap_or(i32::MAX),
            postgres_time(death.died_at),
            death.starts_at.map(postgres_time),
            death.step.to_owned(),
            i32::try_from(death.deliveries).unwrap_or(i32::MAX),
            death.place.map(|place| place.slot),
            death.place.map(|place| place.seq),
            death.place.map(|place| place.subscription),
        )
    };
    let now = chrono::Utc::now().timestamp_micros();
    TableIterator::new(life::last_death(identity::database(), now).map(row))
}

/// Wakes the worker when this transaction commits: there is something new in its tables.
#[pg_extern(sql = false)]
fn wake_at_commit() {
    crate::wake::at_commit();
}

/// Keeps the worker from reading the log on until this transaction ends.
#[pg_extern(sql = false)]
fn keep_from_reading() {
    if let Some(extension) = catalog::extension() {
        lock::keep_from_reading(extension);
    }
}

/// Asks for the worker when this transaction commits: CREATE EXTENSION.
#[pg_extern(sql = false)]
fn want_worker_at_commit() {
    if shmem::registry().is_some() {
        ending::on_commit(|| {
            want_worker(true);
        });
    }
}

/// Asks for the worker when this transaction is over, in whatever way: restart_worker().
#[pg_extern(sql = false)]
fn want_worker_afterwards() {
    ending::at_transaction_end(|| {
        want_worker(true);
    });
}

/// Whether an event type is matched by one of the globs of a subscription. Types that cannot be read match every event,
/// as they do for the worker.
#[pg_extern(sql = false)]
fn matches(types: Vec<Option<String>>, event_type: &str) -> bool {
    readable_types(types)
        .unwrap_or_else(TypeGlobs::everything)
        .matches(event_type)
}

/// Whether these can be the types of a subscription.
#[pg_extern(sql = false)]
fn are_types(types: Vec<Option<String>>) -> bool {
    readable_types(types).is_some()
}

fn readable_types(types: Vec<Option<String>>) -> Option<TypeGlobs> {
    let types: Vec<String> = types.into_iter().collect::<Option<_>>()?;
    TypeGlobs::parse(&types).ok()
}

/// Which rule keeps an event from a subscription; null when none does.
#[pg_extern(sql = false)]
fn why_not(
    types: Vec<Option<String>>,
    tenant: Option<String>,
    event_type: &str,
    event_tenant: Option<&str>,
) -> Option<String> {
    let types: Option<Vec<String>> = types.into_iter().collect();
    let options = SubscriptionOptions {
        types: types.unwrap_or_default(),
        tenant,
        ..SubscriptionOptions::new("any", "https://example.com/")
    };
    herald_core::matcher::why_not(&options.held(), event_type, event_tenant)
}

/// Raises an error unless the text is a secret for this signature.
#[pg_extern(sql = false)]
fn check_secret(secret: &str, signing: &str) -> Result<(), ErrorReport> {
    scheme(signing)
        .and_then(|scheme| Signing::new(scheme, &[secret.to_owned()]))
        .map(drop)
        .map_err(invalid)
}

/// What secrets have to be for this signature. One that is stored and cannot be read can still be exchanged.
#[pg_extern(sql = false)]
fn secret_form(signing: &str) -> &'static str {
    match scheme(signing).map(|scheme| scheme.map(|scheme| scheme.key)) {
        Ok(None) => "standard",
        Ok(Some(KeyForm::Whsec)) => "whsec",
        Ok(Some(KeyForm::Text)) => "text",
        Err(_) => "unknown",
    }
}

/// The scheme of the option `signing`; none for Standard Webhooks.
fn scheme(signing: &str) -> Result<Option<Scheme>, Error> {
    let style = StyleOptions {
        signing: serde_json::from_str(signing).ok(),
        ..StyleOptions::default()
    };
    style.scheme()
}

/// The members of `auth` that are never shown.
#[pg_extern(sql = false)]
fn secret_members() -> Vec<&'static str> {
    SECRET_MEMBERS.to_vec()
}

/// Takes the lock of this name until the end of the transaction.
#[pg_extern(sql = false)]
fn take_lock(name: &str) {
    lock::for_transaction(herald_core::lock::number_of(name));
}

/// The role that called the shell which is running; null where none is.
#[pg_extern(sql = false)]
fn viewer() -> Option<pg_sys::Oid> {
    forward::caller()
}

/// The scheme, host and port of a URL.
#[pg_extern(sql = false)]
fn origin_of(url: &str) -> String {
    herald_core::url_policy::origin_of(url)
}

/// Whether a JSON text is nested deeper than anything walks it.
#[pg_extern(sql = false)]
fn is_too_deep(valid_json: &str) -> bool {
    herald_core::depth::check(valid_json.as_bytes()).is_err()
}

/// The version that this library was built as.
#[pg_extern(sql = false)]
fn library_version() -> &'static str {
    crate::VERSION
}

/// The timeline of the write-ahead log.
#[pg_extern(sql = false)]
fn timeline() -> i32 {
    identity::timeline()
}

pub(crate) fn invalid(error: herald_core::error::Error) -> ErrorReport {
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
