//! Builds requests: exactly what is sent for an event and a subscription.
//!
//! It sits between match and send, once per attempt, because each attempt has its own timestamp and signature. It must
//! never build an unsigned request.
//!
//! The result is an [`http_request`], in the subscription's [`style`]: the body in a [`format`](mod@format), and a
//! [`target`] with its [`placeholders`]. A failed one may be [`kept`] for people. Where the subscription wants a
//! [`handshake`], the receiver is asked for [`consent`] first.

use std::sync::Arc;

use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};

use crate::error::Error;
use crate::event::Event;
use crate::request::format::{Format, Profile, binary_headers};
use crate::request::signed::{HeaderLines, check_lines, sign};
use crate::signing::auth::Auth;
use crate::subscription::compiled::Subscription;

pub mod consent;
pub mod format;
pub mod handshake;
pub mod http_request;
pub mod kept;
pub mod placeholders;
pub mod probe;
mod signed;
pub mod style;
pub mod target;

pub use http_request::HttpRequest;
pub use signed::{MAX_LINE_BYTES, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};

/// Builds the request of one attempt at `now_unix`, in seconds since 1970.
///
/// If an event is larger than `max_payload`, the error is [`Error::TooLarge`], by its size alone if its data was not
/// loaded. If no request can be made of it, the error is [`Error::Unsendable`]. If the subscription has no secret, it
/// is [`Error::NoSecret`]. Each converts to the [`Outcome`](crate::attempt::outcome::Outcome) to record.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::request::build;
/// use herald_core::subscription::SubscriptionOptions;
/// use herald_core::egress::url_policy::UrlPolicy;
///
/// let options = SubscriptionOptions {
///     signing_secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
///     ..SubscriptionOptions::new("shop", "https://example.com/hook")
/// };
/// let subscription = options.compile(&UrlPolicy::default()).unwrap();
/// let event = Event::new("01890a5d-ac96-774b-bcce-b302099a8057", "/shop", "order.paid", 1_614_265_330_000_000);
///
/// let request = build(&event, &subscription, 1_614_265_330).unwrap();
/// assert_eq!(request.url.host(), Some("example.com"));
/// assert!(request.headers.iter().any(|(name, value)| name == "webhook-id" && value == event.uid.as_str()));
/// ```
pub fn build(
    event: &Event,
    subscription: &Subscription,
    now_unix: i64,
) -> Result<HttpRequest, Error> {
    if subscription.signing.is_without_secret() {
        return Err(Error::NoSecret {
            subscription: subscription.name.clone(),
        });
    }
    let style = &subscription.style;
    let sampled = style.sample.map(|sample| event.sampled(sample.one_in()));
    let event = sampled.as_ref().unwrap_or(event);
    let (body, profile) = write_body(event, subscription)?;
    let mut headers = headers(event, subscription, profile)?;
    let (body, signature_at) = sign(event, subscription, now_unix, body, &mut headers)?;
    check_size(body.len(), subscription)?;
    if let Some(handshake) = &style.handshake {
        headers.push(handshake.header());
    }
    headers.extend(subscription.headers.for_event(event)?);
    let mut oauth2 = None;
    match &style.auth {
        None => {}
        Some(Auth::Header(name, value)) => headers.push((name.clone(), value.clone())),
        Some(Auth::OAuth2(credentials)) => oauth2 = Some(Arc::clone(credentials)),
    }
    check_lines(&headers)?;
    Ok(HttpRequest {
        method: style.method.clone(),
        url: subscription.target.for_event(event)?,
        headers,
        body,
        timeout: subscription.timeout,
        oauth2,
        secrets: subscription.secrets.clone(),
        keeps: subscription.keeps_failed,
        signature_at,
    })
}

/// Returns the headers that say what the body is, and whose.
fn headers(
    event: &Event,
    subscription: &Subscription,
    profile: Profile,
) -> Result<HeaderLines, Error> {
    let style = &subscription.style;
    let mut headers = Vec::with_capacity(8 + subscription.headers.len());
    if let Some(content_type) = style.format.content_type(event, profile) {
        let content_type = style.content_type.clone().unwrap_or(content_type);
        headers.push((CONTENT_TYPE, content_type));
    }
    if !subscription.headers.contains(&USER_AGENT) {
        headers.push((USER_AGENT, style.user_agent.clone()));
    }
    // A compressed response could expand beyond every limit on reading it.
    headers.push((ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    if matches!(style.format, Format::Binary) {
        headers.extend(binary_headers(event, profile)?);
    }
    let id = HeaderValue::from_str(&event.uid).map_err(|_| Error::UnsignableId {
        id: event.uid.clone(),
    })?;
    headers.push((WEBHOOK_ID, id));
    Ok(headers)
}

/// Writes the body, in the largest profile that fits `max_payload` if the subscription wants it to shrink.
fn write_body(event: &Event, subscription: &Subscription) -> Result<(Vec<u8>, Profile), Error> {
    let style = &subscription.style;
    let mut profile = style.profile;
    loop {
        let written = if profile.has_data() {
            check_size(usize::try_from(event.size).unwrap_or(0), subscription)
        } else {
            Ok(())
        }
        .and_then(|()| style.format.body(event, profile, subscription.max_payload))
        .and_then(|body| check_size(body.len(), subscription).map(|()| body));
        match (written, profile.smaller().filter(|_| style.shrink)) {
            (Err(Error::TooLarge { .. }), Some(smaller)) => profile = smaller,
            (written, _) => return written.map(|body| (body, profile)),
        }
    }
}

fn check_size(size: usize, subscription: &Subscription) -> Result<(), Error> {
    let limit = subscription.max_payload;
    if size > limit {
        Err(Error::TooLarge { size, limit })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
