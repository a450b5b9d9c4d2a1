//! The request: an event and a subscription become exactly what is sent.
//!
//! It sits between match and send, once per attempt, because each attempt has its own timestamp and signature.
//! It must never build an unsigned request, and `Debug` shows neither the body nor a header's value nor more of the
//! url than its host.

use std::fmt;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::error::Error;
use crate::event::Event;
use crate::format::{STRUCTURED_CONTENT_TYPE, structured};
use crate::signature::signature_header;
use crate::subscription::Subscription;

/// The event's uid, the same on every attempt (Standard Webhooks 1.0.0).
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// The time of the attempt in seconds since 1970.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The signatures over id, timestamp and body.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

const DEFAULT_USER_AGENT: &str = concat!("pg_herald/", env!("CARGO_PKG_VERSION"));

/// One HTTP request, complete but for what the connection adds (`host` and `content-length`).
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method, POST.
    pub method: Method,
    /// The subscription's url; it shares its text.
    pub url: Uri,
    /// All headers in the order in which they are sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; the signature covers exactly these bytes.
    pub body: Vec<u8>,
    /// How long the attempt may take in all.
    pub timeout: Duration,
}

/// Builds the request of one attempt; `now_unix` is its time in seconds since 1970.
///
/// An event that is larger than `max_payload` is [`Error::TooLarge`], told by its size alone where its data was not
/// loaded. A subscription without a secret is [`Error::NoSecret`]. Either converts to the
/// [`Outcome`](crate::outcome::Outcome) to record.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::request::build;
/// use herald_core::subscription::SubscriptionOptions;
/// use herald_core::url_policy::UrlPolicy;
///
/// let options = SubscriptionOptions {
///     secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
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
    check_size(usize::try_from(event.size).unwrap_or(0), subscription)?;
    let body = structured(event);
    check_size(body.len(), subscription)?;
    if subscription.signers.is_empty() {
        return Err(Error::NoSecret {
            subscription: subscription.name.clone(),
        });
    }
    let signature = signature_header(&subscription.signers, &event.uid, now_unix, &body)?;

    let mut headers = Vec::with_capacity(6 + subscription.headers.len());
    headers.push((
        CONTENT_TYPE,
        HeaderValue::from_static(STRUCTURED_CONTENT_TYPE),
    ));
    if !subscription.headers.contains(&USER_AGENT) {
        headers.push((USER_AGENT, HeaderValue::from_static(DEFAULT_USER_AGENT)));
    }
    // A compressed response could expand beyond every limit on what is read of it.
    headers.push((ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    let id = HeaderValue::from_str(&event.uid).map_err(|_| Error::UnsignableId {
        id: event.uid.clone(),
    })?;
    headers.push((WEBHOOK_ID, id));
    headers.push((WEBHOOK_TIMESTAMP, HeaderValue::from(now_unix)));
    headers.push((
        WEBHOOK_SIGNATURE,
        HeaderValue::try_from(signature).expect("base64, commas and blanks make a valid header"),
    ));
    headers.extend(subscription.headers.iter().cloned());
    Ok(HttpRequest {
        method: Method::POST,
        url: subscription.url.clone(),
        headers,
        body,
        timeout: subscription.timeout,
    })
}

fn check_size(size: usize, subscription: &Subscription) -> Result<(), Error> {
    let limit = subscription.max_payload;
    if size > limit {
        Err(Error::TooLarge { size, limit })
    } else {
        Ok(())
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("host", &self.url.host())
            .field(
                "headers",
                &self
                    .headers
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect::<Vec<_>>(),
            )
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests;
