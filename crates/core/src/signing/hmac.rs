//! Signatures by a [`scheme`](crate::signing::scheme): in headers, and in the body.

use std::collections::BTreeMap;
use std::fmt;

use ::hmac::{Hmac, Mac};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use serde::de::IgnoredAny;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::message::{is_signable, keyed};
use super::secret::{Kind, Secret, refused};
use crate::depth;
use crate::error::Error;
use crate::json::push_string;
use crate::request::placeholders::encode_for_header;
use crate::signing::scheme::{Algorithm, Encoding, KeyForm, Scheme};

/// The allowed size, in bytes, of a secret that is used as it is.
pub const TEXT_BYTES: std::ops::RangeInclusive<usize> = 8..=256;

/// A key of an HMAC scheme. `Debug` does not show it.
#[derive(Clone)]
pub struct HmacKey(Keyed);

#[derive(Clone)]
enum Keyed {
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl HmacKey {
    /// Returns the key that `secret` is in a scheme.
    pub fn new(scheme: &Scheme, secret: &str) -> Result<HmacKey, Error> {
        let key = match scheme.key {
            KeyForm::Whsec => match Secret::parse(secret)? {
                Secret {
                    kind: Kind::Symmetric,
                    bytes,
                } => bytes,
                _ => return Err(refused("It is a private key, and the scheme is symmetric.")),
            },
            KeyForm::Text => Zeroizing::new(secret.as_bytes().to_vec()),
        };
        Ok(HmacKey(match scheme.algorithm {
            Algorithm::Sha256 => Keyed::Sha256(keyed(&key)),
            Algorithm::Sha512 => Keyed::Sha512(keyed(&key)),
        }))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Keyed::Sha256(keyed) => keyed
                .clone()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .to_vec(),
            Keyed::Sha512(keyed) => keyed
                .clone()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    /// Returns whether this is the MAC of a message. Compares in constant time.
    pub(crate) fn is_mac_of(&self, mac: &[u8], message: &[u8]) -> bool {
        match &self.0 {
            Keyed::Sha256(keyed) => keyed
                .clone()
                .chain_update(message)
                .verify_slice(mac)
                .is_ok(),
            Keyed::Sha512(keyed) => keyed
                .clone()
                .chain_update(message)
                .verify_slice(mac)
                .is_ok(),
        }
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(***)")
    }
}

/// Refuses a secret that cannot be given to a receiver as text.
pub(super) fn check_text(secret: &str) -> Result<(), Error> {
    if !TEXT_BYTES.contains(&secret.len()) {
        return Err(refused(&format!(
            "It has {} bytes, and needs 8 to 256.",
            secret.len()
        )));
    }
    if secret.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Ok(())
    } else {
        Err(refused(
            "It has other characters than visible ASCII and blanks.",
        ))
    }
}

/// Returns the body with its own signature in the given member, and the offset of that member's value.
pub fn sign_in_body(
    scheme: &Scheme,
    member: &str,
    keys: &[HmacKey],
    body: Vec<u8>,
) -> Result<(Vec<u8>, Option<usize>), Error> {
    match keys.first() {
        Some(current) => {
            let signature = encode(scheme, &current.sign(&body));
            let (body, value_at) = insert_member(body, member, &signature)?;
            Ok((body, Some(value_at)))
        }
        None => Ok((body, None)),
    }
}

/// Returns the headers of a scheme's signature. `id` is the `webhook-id`, `timestamp` the attempt's time in seconds
/// since 1970.
///
/// ```
/// use herald_core::signing::scheme::Scheme;
/// use herald_core::signing::{HmacKey, sign_with_scheme};
///
/// let scheme = Scheme::parse(&"github".into()).unwrap();
/// let keys = [HmacKey::new(&scheme, "It's a Secret to Everybody").unwrap()];
/// let headers = sign_with_scheme(&scheme, &keys, "id", "order.paid", 0, b"Hello, World!").unwrap();
/// assert_eq!(headers[0].1, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
/// ```
pub fn sign_with_scheme(
    scheme: &Scheme,
    keys: &[HmacKey],
    id: &str,
    event_type: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    if !is_signable(id) {
        return Err(Error::UnsignableId { id: id.into() });
    }
    let timestamp = scheme.timestamp_format.write(timestamp);
    let message = scheme.signed_content(id, &timestamp, body);
    let signatures = keys.iter().map(|key| encode(scheme, &key.sign(&message)));
    let signatures = match &scheme.separator {
        None => signatures.take(1).collect::<String>(),
        Some(separator) => signatures.collect::<Vec<_>>().join(separator),
    };
    let mut signature = header_value(&(scheme.lead(&timestamp) + &signatures))?;
    signature.set_sensitive(true);
    let mut headers = vec![(scheme.header.clone(), signature)];
    for (name, value) in [
        (&scheme.timestamp_header, timestamp.as_str()),
        (&scheme.id_header, id),
        (&scheme.type_header, event_type),
    ] {
        if let Some(name) = name {
            let value = encode_for_header(value);
            headers.push((name.clone(), header_value(&value)?));
        }
    }
    Ok(headers)
}

fn encode(scheme: &Scheme, mac: &[u8]) -> String {
    let mut text = scheme.prefix.clone();
    match scheme.encoding {
        Encoding::Base64 => STANDARD.encode_string(mac, &mut text),
        Encoding::Hex => text.extend(mac.iter().map(|byte| format!("{byte:02x}"))),
    }
    text
}

fn header_value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| Error::Unsendable {
        fault: "its signature cannot stand in a header".into(),
    })
}

/// Adds a member at the end of a JSON object. Also returns the offset of its value.
fn insert_member(mut body: Vec<u8>, member: &str, value: &str) -> Result<(Vec<u8>, usize), Error> {
    let unsendable = |fault: &str| Error::Unsendable {
        fault: fault.into(),
    };
    depth::check(&body).map_err(|fault| {
        unsendable(&format!("its body is {fault}, so that it cannot be signed"))
    })?;
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_slice(&body)
        .map_err(|_| unsendable("its signature must be in the body, which is not a JSON object"))?;
    if members.contains_key(member) {
        return Err(unsendable(&format!(
            "its body has a member {member:?} already, where its signature belongs"
        )));
    }
    let end = body.iter().rposition(|byte| *byte == b'}').unwrap_or(0);
    body.truncate(end);
    let mut addition = String::new();
    if !members.is_empty() {
        addition.push(',');
    }
    push_string(&mut addition, member);
    addition.push(':');
    let value_at = body.len() + addition.len();
    push_string(&mut addition, value);
    addition.push('}');
    body.extend_from_slice(addition.as_bytes());
    Ok((body, value_at))
}
