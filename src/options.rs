//! SQL functions about the options of subscriptions, which are declared in `herald_core::subscription::options`.

use crate::errors::invalid;
use crate::pg::time::{postgres_time, unix_micros};
use crate::settings;
use herald_core::error::Error;
use herald_core::event::Event;
use herald_core::request::style;
use herald_core::signing::Signing;
use herald_core::signing::scheme::{KeyForm, Scheme};
use herald_core::subscription::hours::ActiveHours;
use herald_core::subscription::members::Members;
use herald_core::subscription::options::{
    self, Declared, Document, MAX_OPTIONS_BYTES, OPTIONS, SubscriptionOptions,
};
use herald_core::subscription::ordering::OrderedBy;
use herald_core::subscription::rate::Rate;
use herald_core::subscription::secrets::HIDDEN;
use herald_core::subscription::{compile, documents, reference};
use herald_sender::TlsProfile;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Returns the arguments of `subscribe`, in order.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn declared_options() -> TableIterator<
    'static,
    (
        name!(position, i32),
        name!(name, &'static str),
        name!(r#type, &'static str),
        name!(is_option, bool),
        name!(has_secrets, bool),
        name!(about, &'static str),
    ),
> {
    TableIterator::new(reference::arguments().zip(1..).map(|(argument, position)| {
        let Declared {
            name,
            sql_type,
            secret,
            about,
            ..
        } = argument;
        let is_option = OPTIONS.iter().any(|option| option.name == *name);
        let about = about.trim();
        (
            position,
            *name,
            *sql_type,
            is_option,
            secret.is_some(),
            about,
        )
    }))
}

/// Returns whether this is a rate, such as `10/s`.
#[pg_extern(sql = false)]
fn is_rate(rate: &str) -> bool {
    Rate::parse("rate_limit", rate).is_ok()
}

/// Returns the number that the deliveries of a key have in common, with this ordering.
#[pg_extern(sql = false)]
fn order_key(
    ordering: Option<&str>,
    tenant: Option<String>,
    source: Option<String>,
    key: Option<String>,
) -> Option<i64> {
    let by = OrderedBy::parse(ordering?).ok()??;
    by.number(&Event {
        tenant,
        key,
        ..Event::new("", &source?, "", 0)
    })
}

/// Returns the time between two deliveries at a rate, in seconds.
#[pg_extern(sql = false)]
fn rate_seconds(rate: &str) -> Result<f64, ErrorReport> {
    let rate = Rate::parse("rate", rate).map_err(invalid)?;
    Ok(rate.interval_nanos() as f64 / 1e9)
}

/// Returns when an event with these extensions is of no use any longer.
#[pg_extern(sql = false)]
fn expires_at(extensions: Option<String>) -> Option<TimestampWithTimeZone> {
    let event = Event {
        extensions,
        ..Event::new("", "", "", 0)
    };
    event.expires_at().map(postgres_time)
}

/// Returns when the next of these hours begin, if this time is outside of them; null if it is not, or if nothing is held
/// then.
#[pg_extern(sql = false)]
fn closed_until(
    active_hours: pgrx::Json,
    at: TimestampWithTimeZone,
) -> Option<TimestampWithTimeZone> {
    let hours = ActiveHours::parse(&active_hours.0).ok()?;
    let until = hours
        .closed_until(unix_micros(at))
        .filter(|_| !hours.skips)?;
    Some(postgres_time(until))
}

/// Returns every option with its default; null if it has none.
#[pg_extern(sql = false)]
fn declared_defaults() -> String {
    json(&documents::defaults())
}

/// Merges the given options into a document.
#[pg_extern(sql = false)]
fn merge_options(former: &str, given: &str) -> Result<String, ErrorReport> {
    let merged = documents::merged(document(former)?, document(given)?);
    match merged {
        Ok(merged) => Ok(json(&merged)),
        Err(error @ Error::NullOption { .. }) => Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            error.message(),
            "subscribe",
        )
        .set_hint(error.hint().unwrap_or_default())),
        Err(error) => Err(invalid(error)),
    }
}

/// Returns the readable part of a stored document.
#[pg_extern(sql = false)]
fn readable_options(stored: &str) -> String {
    json(&documents::readable(
        options::document(stored).unwrap_or_default(),
    ))
}

fn document(json: &str) -> Result<Document, ErrorReport> {
    options::document(json).map_err(invalid)
}

/// Returns text: a jsonb would be made of a value that has lost digits of its numbers.
fn json(document: &Document) -> String {
    serde_json::to_string(document).expect("texts and JSON are JSON")
}

/// Returns whether a member of an option is never shown.
#[pg_extern(sql = false)]
fn is_secret_member(option: &str, member: &str) -> bool {
    OPTIONS
        .iter()
        .find(|declared| declared.name == option)
        .and_then(|declared| declared.secret)
        .is_some_and(|is_secret| is_secret(member))
}

/// Returns how many bytes all options of a subscription may have together.
#[pg_extern(sql = false)]
fn max_options_bytes() -> i32 {
    MAX_OPTIONS_BYTES
}

/// Raises an error unless a subscription with these options is valid under the settings of this session.
#[pg_extern(sql = false)]
fn check_subscription(
    name: &str,
    is_tenants: bool,
    options: &str,
    secret: Option<&str>,
) -> Result<(), ErrorReport> {
    let policies = settings::url_policies().map_err(|message| {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            message,
            "subscribe",
        )
    })?;
    let checked = SubscriptionOptions {
        signing_secrets: secret.map(str::to_owned).into_iter().collect(),
        request_origin: settings::request_origin(),
        ..SubscriptionOptions::new(name, "")
    };
    let checked = checked.with_document(options).map_err(invalid)?;
    if let Some(tls) = &checked.tls {
        check_tls(tls)?;
    }
    checked.validate(policies.of(is_tenants)).map_err(invalid)
}

/// Refuses members that configure no TLS session.
fn check_tls(members: &Members) -> Result<(), ErrorReport> {
    compile::check_tls(members).map_err(invalid)?;
    // Stored members were checked when they were given.
    if members.values().all(|pem| pem == HIDDEN) {
        return Ok(());
    }
    let member = |name: &str| members.get(name).cloned();
    let refused = |fault: String, hint: &str| {
        invalid(Error::Option {
            option: "tls",
            fault,
            hint: hint.into(),
        })
    };
    let profile = TlsProfile::new(member("ca"), member("certificate"), member("key"));
    let profile = profile.ok_or_else(|| {
        refused(
            "A client certificate needs its private key, and a key its certificate.".into(),
            "Give both, certificate and key, in PEM.",
        )
    })?;
    herald_sender::check_tls(&profile).map_err(|fault| {
        refused(
            fault,
            "Give each member in PEM, whole: ca and certificate as -----BEGIN CERTIFICATE-----, key as -----BEGIN PRIVATE KEY-----.",
        )
    })
}

/// Raises an error unless the text is a valid secret for this signature.
#[pg_extern(sql = false)]
fn check_secret(secret: &str, signing: &str) -> Result<(), ErrorReport> {
    scheme(signing)
        .and_then(|scheme| Signing::new(scheme, &[secret.to_owned()]))
        .map(drop)
        .map_err(invalid)
}

/// Returns whether requests carry a single signature of this kind, made with the newest secret.
#[pg_extern(sql = false)]
fn signs_once(signing: &str) -> bool {
    matches!(scheme(signing), Ok(Some(scheme)) if scheme.separator.is_none())
}

/// Returns the form of secrets for this signature. If the stored signature cannot be read, its secrets can still be
/// exchanged.
#[pg_extern(sql = false)]
fn secret_form(signing: &str) -> &'static str {
    match scheme(signing).map(|scheme| scheme.map(|scheme| scheme.key)) {
        Ok(None) => "standard",
        Ok(Some(KeyForm::Whsec)) => "whsec",
        Ok(Some(KeyForm::Text)) => "text",
        Err(_) => "unknown",
    }
}

/// Returns the scheme of the option `signing`; `None` for Standard Webhooks.
fn scheme(signing: &str) -> Result<Option<Scheme>, Error> {
    style::scheme(&serde_json::from_str(signing).unwrap_or_default())
}
