//! The signed part of a request: its body, encoded and signed, and the headers that come of it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderName, HeaderValue};

use crate::error::Error;
use crate::event::Event;
use crate::request::style::Style;
use crate::signing::canonical::Canonical;
use crate::signing::{Signing, sign_in_body, sign_with_scheme, signature_header};
use crate::subscription::compiled::Subscription;

/// The event's uid, the same on every attempt (Standard Webhooks 1.0.0).
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// The time of the attempt in seconds since 1970.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The signatures over id, timestamp and body.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The maximum size of one header line, in bytes: the sender writes it in one piece. Receivers accept 8 to 16 KiB for
/// all lines.
pub const MAX_LINE_BYTES: usize = 12_288;

pub(super) type HeaderLines = Vec<(HeaderName, HeaderValue)>;

/// Encodes and signs the body. Returns it, and where the signature in it is, if it repeats it.
pub(super) fn sign(
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
pub(super) fn check_lines(headers: &[(HeaderName, HeaderValue)]) -> Result<(), Error> {
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
