//! What the worker would do: `preview()` returns the request for an event and a subscription, built exactly as the
//! worker builds it, but does not send it; an obstacle is why the worker sends nothing to an active subscription.

use crate::log::read;
use crate::settings;
use crate::store::subscriptions;
use herald_core::request;
use herald_dispatch::reader::READ_AT_ONCE;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn preview(
    subscription_id: i64,
    event_slot: i16,
    event_seq: i64,
    show_secrets: bool,
) -> Result<
    TableIterator<
        'static,
        (
            name!(method, String),
            name!(url, String),
            name!(headers, pgrx::Json),
            name!(body, String),
        ),
    >,
    ErrorReport,
> {
    let policies = settings::url_policies().map_err(|message| fault(message, None))?;
    let (loaded, events) = Spi::connect_mut(|client| {
        let loaded = subscriptions::show_one(client, subscription_id, &policies);
        let largest = loaded
            .as_ref()
            .map_or(0, |loaded| loaded.config.max_payload);
        let largest = i32::try_from(largest).unwrap_or(i32::MAX);
        let (events, _) = read::load_events(client, &[(event_slot, event_seq)], largest, 0);
        (loaded, events)
    });
    let loaded = loaded.ok_or_else(|| fault("the subscription no longer exists".into(), None))?;
    // What a receiver must consent to can be shown before it does.
    if let (false, Some(obstacle)) = (loaded.lacks_consent, &loaded.obstacle) {
        let name = &loaded.config.name;
        let message = format!("cannot send to subscription \"{name}\": {obstacle}");
        return Err(fault(message, None));
    }
    let logged = events
        .first()
        .ok_or_else(|| fault("the event no longer exists".into(), None))?;
    // A signature over a partly hidden request would only help to guess the hidden part.
    let show_secrets = show_secrets && loaded.config.secrets.is_empty();
    let now = chrono::Utc::now().timestamp();
    let request = request::build(&logged.event, &loaded.config, now)
        .map_err(|error| fault(error.message(), error.hint()))?;
    let headers = request.headers.iter().map(|(name, value)| {
        let value = if !show_secrets && value.is_sensitive() {
            "***".into()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        (name.as_str().to_owned(), serde_json::Value::String(value))
    });
    Ok(TableIterator::once((
        request.method.to_string(),
        request.url.to_string(),
        pgrx::Json(serde_json::Value::Object(headers.collect())),
        request.readable_body(show_secrets),
    )))
}

/// Returns the subscriptions that nothing can be sent to as they are, and why.
#[pg_extern(sql = false)]
fn obstacles() -> TableIterator<'static, (name!(subscription_id, i64), name!(obstacle, String))> {
    let Ok(policies) = settings::url_policies() else {
        return TableIterator::empty();
    };
    let loaded = Spi::connect_mut(|client| {
        let ids = subscriptions::find_all(client);
        let mut loaded = Vec::with_capacity(ids.len());
        for ids in ids.chunks(READ_AT_ONCE) {
            loaded.extend(subscriptions::load(client, ids, &policies, None));
        }
        loaded
    });
    let found: Vec<_> = loaded
        .into_iter()
        .filter_map(|subscription| Some((subscription.config.id, subscription.obstacle?)))
        .collect();
    TableIterator::new(found)
}

fn fault(message: String, hint: Option<String>) -> ErrorReport {
    let report = ErrorReport::new(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        message,
        "preview",
    );
    match hint {
        Some(hint) => report.set_hint(hint),
        None => report,
    }
}
