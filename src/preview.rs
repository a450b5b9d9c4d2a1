//! What the worker would do, for those who ask: `preview()` is the request for an event and a subscription, built exactly
//! as the worker builds it, and not sent; an obstacle is why it sends nothing to a subscription that is active.

use crate::dispatch::subscriptions::Subscriptions;
use crate::log::read;
use crate::settings::{self, Settings};
use herald_core::request;
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
        let loaded = Subscriptions::load_one(client, subscription_id, &policies);
        let largest = loaded
            .as_ref()
            .map_or(0, |loaded| loaded.config.max_payload);
        let largest = i32::try_from(largest).unwrap_or(i32::MAX);
        let (events, _) = read::load_events(client, &[(event_slot, event_seq)], largest);
        (loaded, events)
    });
    let loaded =
        loaded.ok_or_else(|| fault("the subscription does not exist any more".into(), None))?;
    if let (false, Some(obstacle)) = (loaded.is_readable, &loaded.obstacle) {
        let name = &loaded.config.name;
        let message = format!("nothing can be sent to subscription \"{name}\": {obstacle}");
        return Err(fault(message, None));
    }
    let logged = events
        .first()
        .ok_or_else(|| fault("the event is not there any more".into(), None))?;
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

/// The subscriptions that nothing can be sent to as they are, and why. None are found while a setting cannot be read: see
/// [`settings_fault`].
#[pg_extern(sql = false)]
fn obstacles() -> TableIterator<'static, (name!(subscription_id, i64), name!(obstacle, String))> {
    let Ok(policies) = settings::url_policies() else {
        return TableIterator::empty();
    };
    let subscriptions = Spi::connect_mut(|client| Subscriptions::load(client, &policies));
    let found: Vec<_> = subscriptions
        .iter()
        .filter_map(|one| Some((one.config.id, one.obstacle.clone()?)))
        .collect();
    TableIterator::new(found)
}

/// Which setting of this session no worker could read; null where there is none.
#[pg_extern(sql = false)]
fn settings_fault() -> Option<String> {
    Settings::read().err()
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
