//! Checks whether the owner of the secret signed a received request: the other side of [`signing`](crate::signing).
//!
//! It uses the bytes as received, compares in constant time, and has no clock. It answers yes or no without a reason,
//! because a reason would help the next forgery.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::signing::hmac::HmacKey;
use crate::signing::scheme::{Encoding, Scheme, TimestampFormat};
use crate::signing::standard::Verifier;

/// How far the time of a request may be from now (Standard Webhooks 1.0.0, "Verifying").
pub const TOLERANCE_SECONDS: u64 = 300;

/// The maximum number of signatures in a request: each costs the hash of the whole body.
pub const MAX_SIGNATURES: usize = 20;

/// The maximum size of a scheme, in bytes of JSON.
pub const MAX_SCHEME_BYTES: usize = 8192;
/// The maximum size of all headers of a request, in bytes of JSON.
pub const MAX_HEADERS_BYTES: usize = 65_536;
/// The maximum size of its body: 64 MiB, which take a tenth of a second.
pub const MAX_BODY_BYTES: usize = 64 << 20;
/// The maximum size of its method, in bytes.
pub const MAX_METHOD_BYTES: usize = 32;
/// The maximum size of its URL, in bytes.
pub const MAX_URL_BYTES: usize = 8192;

/// A request as received.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    /// Returns the value of a header by its lower-case name, or none if the header is missing or repeated.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    pub body: &'a [u8],
    /// `POST` and the like; only HubSpot signs it.
    pub method: &'a str,
    /// The whole URL as the sender called it; only HubSpot signs it.
    pub url: &'a str,
}

impl std::fmt::Debug for Received<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received").finish_non_exhaustive()
    }
}

/// The scheme and secret to check a request with.
#[derive(Debug)]
pub enum Check {
    Standard(Verifier),
    Scheme(Box<Scheme>, HmacKey),
    HubSpot(HubSpot, String),
}

/// The versions of HubSpot's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubSpot {
    V1,
    V2,
    V3,
}

impl Check {
    /// Parses a scheme, as in `signing` or `hubspot-v1` to `hubspot-v3`, and its secret.
    ///
    /// ```
    /// use herald_core::signing::verify::{Check, Received, TOLERANCE_SECONDS};
    ///
    /// let check = Check::new(&"standard".into(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    /// let header = |name: &str| match name {
    ///     "webhook-id" => Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
    ///     "webhook-timestamp" => Some("1614265330"),
    ///     "webhook-signature" => Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ///     _ => None,
    /// };
    /// let received = Received { header: &header, body: br#"{"test": 2432232314}"#, method: "POST", url: "" };
    /// assert!(check.accepts(&received, 1614265330 + 300, TOLERANCE_SECONDS));
    /// assert!(!check.accepts(&received, 1614265330 + 301, TOLERANCE_SECONDS));
    /// ```
    pub fn new(scheme: &Value, secret: &str) -> Result<Check, Error> {
        if secret.is_empty() {
            return Err(Error::Secret {
                fault: "It is empty.".into(),
            });
        }
        let hubspot = match scheme.as_str() {
            Some("standard") => return Verifier::parse(secret).map(Check::Standard),
            Some("hubspot-v1") => HubSpot::V1,
            Some("hubspot-v2") => HubSpot::V2,
            Some("hubspot-v3") => HubSpot::V3,
            _ => {
                let scheme = Scheme::parse(scheme)?;
                let key = HmacKey::new(&scheme, secret)?;
                return Ok(Check::Scheme(Box::new(scheme), key));
            }
        };
        Ok(Check::HubSpot(hubspot, secret.to_owned()))
    }

    /// Returns whether this secret made any of the signatures, and the time, if signed, is within `tolerance` seconds
    /// of `now`.
    pub fn accepts(&self, received: &Received<'_>, now: i64, tolerance: u64) -> bool {
        let accepted = match self {
            Check::Standard(verifier) => standard(verifier, received, now, tolerance),
            Check::Scheme(scheme, key) => by_scheme(scheme, key, received, now, tolerance),
            Check::HubSpot(version, secret) => hubspot(*version, secret, received, now, tolerance),
        };
        accepted.unwrap_or(false)
    }
}

fn standard(
    verifier: &Verifier,
    received: &Received<'_>,
    now: i64,
    tolerance: u64,
) -> Option<bool> {
    let id = (received.header)("webhook-id").filter(|id| is_clear(id))?;
    let timestamp = (received.header)("webhook-timestamp")?;
    let seconds = TimestampFormat::UnixSeconds.read(timestamp)?;
    if seconds.abs_diff(now) > tolerance {
        return None;
    }
    let given = (received.header)("webhook-signature")?;
    let valid = few(given.split(' '))?
        .into_iter()
        .map(|signature| verifier.accepts(signature, id, timestamp, received.body));
    // Checks all signatures, so that the duration does not tell which one was valid.
    Some(valid.fold(false, |any, is_valid| any | is_valid))
}

fn by_scheme(
    scheme: &Scheme,
    key: &HmacKey,
    received: &Received<'_>,
    now: i64,
    tolerance: u64,
) -> Option<bool> {
    let header = |name: &http::HeaderName| (received.header)(name.as_str());
    let (led, signatures) = split_header(scheme, header(&scheme.header)?)?;
    let timestamp = match &scheme.timestamp_header {
        Some(name) => header(name),
        None => led,
    };
    let timestamp = timestamp.unwrap_or_default();
    if scheme.is_timed() {
        let seconds = scheme.timestamp_format.read(timestamp)?;
        if seconds.abs_diff(now) > tolerance {
            return None;
        }
    }
    let id = match &scheme.id_header {
        Some(name) => header(name).unwrap_or_default(),
        None => "",
    };
    if scheme.signs("id") && !is_clear(id) {
        return None;
    }
    let message = scheme.signed_content(id, timestamp, received.body);
    let valid = signatures.into_iter().map(|signature| {
        let mac = signature
            .strip_prefix(scheme.prefix.as_str())
            .and_then(|text| decode(scheme.encoding, text));
        mac.is_some_and(|mac| key.is_mac_of(&mac, &message))
    });
    Some(valid.fold(false, |any, is_valid| any | is_valid))
}

/// Returns whether an id can end in only one place in `id.timestamp.body`: otherwise two readings would both be signed.
/// Accepts full stops in ids, as the official libraries do, except before a time.
fn is_clear(id: &str) -> bool {
    let is_time = |part: &str| part.len() == 10 && part.bytes().all(|byte| byte.is_ascii_digit());
    !id.is_empty() && !id.split('.').skip(1).any(is_time)
}

/// Returns all signatures, or none if they are more than a sender could have secrets.
fn few<'a>(signatures: impl Iterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    let few: Vec<&str> = signatures.take(MAX_SIGNATURES + 1).collect();
    (few.len() <= MAX_SIGNATURES).then_some(few)
}

/// Returns the time in the header with the signatures, if any, and the possible signatures.
///
/// If the time is an item of its own, items may come in any order: `v1=...,t=...`.
fn split_header<'a>(scheme: &Scheme, value: &'a str) -> Option<(Option<&'a str>, Vec<&'a str>)> {
    let Some(separator) = scheme.separator.as_deref() else {
        let (led, signature) = split_lead(scheme, value)?;
        return Some((led, vec![signature]));
    };
    let lead: Vec<_> = scheme.lead.pieces().collect();
    if let [Err(before), Ok(_), Err(behind)] = lead[..]
        && let Some(behind) = behind.strip_suffix(separator)
    {
        let time_in = |item: &'a str| item.strip_prefix(before)?.strip_suffix(behind);
        let (times, signatures): (Vec<_>, Vec<_>) = value
            .split(separator)
            .take(MAX_SIGNATURES + 2)
            .partition(|item| time_in(item).is_some());
        let [time] = times[..] else { return None };
        return Some((time_in(time), few(signatures.into_iter())?));
    }
    let (led, signatures) = split_lead(scheme, value)?;
    Some((led, few(signatures.split(separator))?))
}

/// Splits the lead from the signatures, and finds the time in it.
fn split_lead<'a>(scheme: &Scheme, value: &'a str) -> Option<(Option<&'a str>, &'a str)> {
    let mut rest = value;
    let mut timestamp = None;
    let mut pieces = scheme.lead.pieces().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Err(text) => rest = rest.strip_prefix(text)?,
            Ok(_) => {
                let end = match pieces.peek() {
                    Some(Err(text)) => rest.find(text)?,
                    _ => rest.bytes().take_while(u8::is_ascii_digit).count(),
                };
                let (found, after) = rest.split_at(end);
                timestamp = Some(found);
                rest = after;
            }
        }
    }
    Some((timestamp, rest))
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Hex => decode_hex(text),
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| {
        let byte = digit(*high)? * 16 + digit(*low)?;
        u8::try_from(byte).ok()
    });
    rest.is_empty().then(|| bytes.collect()).flatten()
}

/// Checks HubSpot's signatures: v1 and v2 are plain hashes that begin with the secret, v3 is an HMAC that covers the
/// time.
fn hubspot(
    version: HubSpot,
    secret: &str,
    received: &Received<'_>,
    now: i64,
    tolerance: u64,
) -> Option<bool> {
    let hashed = |parts: &[&[u8]]| {
        let given = (received.header)("x-hubspot-signature")?;
        let given = decode_hex(given.strip_prefix("sha256=").unwrap_or(given))?;
        let mut hash = Sha256::new_with_prefix(secret);
        for part in parts {
            hash.update(part);
        }
        Some(hash.finalize().ct_eq(given.as_slice()).into())
    };
    let (method, url) = (received.method.as_bytes(), received.url.as_bytes());
    match version {
        HubSpot::V1 => hashed(&[received.body]),
        HubSpot::V2 => hashed(&[method, url, received.body]),
        HubSpot::V3 => {
            let given = STANDARD
                .decode((received.header)("x-hubspot-signature-v3")?)
                .ok()?;
            let timestamp = (received.header)("x-hubspot-request-timestamp")?;
            let seconds = TimestampFormat::UnixMillis.read(timestamp)?;
            if seconds.abs_diff(now) > tolerance {
                return None;
            }
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).ok()?;
            for part in [
                method,
                hubspot_url(received.url).as_bytes(),
                received.body,
                timestamp.as_bytes(),
            ] {
                mac.update(part);
            }
            Some(mac.verify_slice(&given).is_ok())
        }
    }
}

/// Decodes the escapes in a URL that HubSpot decodes before it signs.
fn hubspot_url(url: &str) -> String {
    const DECODED: [(&str, &str); 12] = [
        ("%3A", ":"),
        ("%2F", "/"),
        ("%3F", "?"),
        ("%40", "@"),
        ("%21", "!"),
        ("%24", "$"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%2A", "*"),
        ("%2C", ","),
        ("%3B", ";"),
    ];
    DECODED
        .iter()
        .fold(url.to_owned(), |url, (escape, character)| {
            url.replace(escape, character)
                .replace(&escape.to_ascii_lowercase(), character)
        })
}

#[cfg(test)]
mod tests;
