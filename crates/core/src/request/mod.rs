//! Builds requests: exactly what is sent for an event and a subscription.
//!
//! It sits between match and send, once per attempt, because each attempt has its own timestamp and signature. It must
//! never build an unsigned request.
//!
//! The result is an [`http_request`], in the subscription's [`style`]: the body in a [`format`](mod@format), and a
//! [`target`] with its [`placeholders`]. A failed one may be [`kept`] for people. Where the subscription wants a
//! [`handshake`], the receiver is asked for [`consent`] first.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue};

use crate::error::Error;
use crate::event::Event;
use crate::request::format::{Format, Profile, binary_headers};
use crate::request::style::Style;
use crate::signing::auth::Auth;
use crate::signing::canonical::Canonical;
use crate::signing::{Signing, sign_in_body, sign_with_scheme, signature_header};
use crate::subscription::compiled::Subscription;

pub mod consent;
pub mod format;
pub mod handshake;
pub mod http_request;
pub mod kept;
pub mod placeholders;
pub mod style;
pub mod target;

pub use http_request::HttpRequest;

/// The event's uid, the same on every attempt (Standard Webhooks 1.0.0).
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// The time of the attempt in seconds since 1970.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The signatures over id, timestamp and body.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The maximum size of one header line, in bytes: the sender writes it in one piece. Receivers accept 8 to 16 KiB for
/// all lines.
pub const MAX_LINE_BYTES: usize = 12_288;

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

type HeaderLines = Vec<(HeaderName, HeaderValue)>;

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

/// Encodes and signs the body. Returns it, and where the signature in it is, if it repeats it.
fn sign(
    event: &Event,
    subscription: &Subscription,
    now_unix: i64,
    mut body: Vec<u8>,
    headers: &mut HeaderLines,
) -> Result<(Vec<u8>, Option<usize>), Error> {
    let style = &subscription.style;
    let mut signature_at = None;
    match &subscription.signing {
        Signing::Standard(signers) => {
            body = encode(style, body, headers);
            let signature = signature_header(signers, &event.uid, now_unix, &body)?;
            let mut signature = HeaderValue::try_from(signature)
                .expect("base64, commas and blanks make a valid header");
            signature.set_sensitive(true);
            headers.push((WEBHOOK_TIMESTAMP, HeaderValue::from(now_unix)));
            headers.push((WEBHOOK_SIGNATURE, signature));
        }
        Signing::Scheme(scheme, keys) => {
            if let Some(canonical) = scheme.canonical {
                body = canonical_body(body, canonical)?;
            }
            if let Some(member) = &scheme.body_member {
                (body, signature_at) = sign_in_body(scheme, member, keys, body)?;
            }
            body = encode(style, body, headers);
            let signed =
                sign_with_scheme(scheme, keys, &event.uid, &event.r#type, now_unix, &body)?;
            headers.extend(signed);
        }
    }
    Ok((body, signature_at))
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

/// Compresses the body if the subscription wants that.
fn encode(style: &Style, body: Vec<u8>, headers: &mut HeaderLines) -> Vec<u8> {
    if !style.gzip || body.is_empty() {
        return body;
    }
    headers.push((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::default());
    gzip.write_all(&body)
        .and_then(|()| gzip.finish())
        .expect("writing into memory cannot fail")
}

fn canonical_body(body: Vec<u8>, canonical: Canonical) -> Result<Vec<u8>, Error> {
    let text = std::str::from_utf8(&body).unwrap_or_default();
    canonical
        .of(text)
        .map(String::into_bytes)
        .map_err(|fault| Error::Unsendable {
            fault: fault.to_string(),
        })
}

/// Checks header lines: percent-encoding can triple an attribute, and a subscription's header may contain several.
fn check_lines(headers: &[(HeaderName, HeaderValue)]) -> Result<(), Error> {
    let long = headers.iter().find_map(|(name, value)| {
        let bytes = name.as_str().len() + value.len() + ": \r\n".len();
        (bytes > MAX_LINE_BYTES).then_some((name, bytes))
    });
    match long {
        None => Ok(()),
        Some((name, bytes)) => Err(Error::Unsendable {
            fault: format!(
                "its header {name} would have {bytes} bytes, and {MAX_LINE_BYTES} are allowed"
            ),
        }),
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
