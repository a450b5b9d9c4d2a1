//! Signatures after Standard Webhooks 1.0.0: `v1`, HMAC-SHA256 over `id.timestamp.body`.
//!
//! It runs at each attempt, between format and send, on exactly the bytes that are sent.
//! It must never show a secret (not in `Debug`, not in an error), never sign an id that contains a full stop,
//! because the signed text would then be ambiguous, and never take the time from anywhere but its argument.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::Error;

const PREFIX: &str = "whsec_";

/// The fewest and the most bytes of a key (Standard Webhooks 1.0.0, "Symmetric").
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A signing secret. It is wiped from memory when it is dropped, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Reads the form in which secrets are exchanged: `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// ```
    /// use herald_core::signature::Secret;
    ///
    /// assert!(Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
    /// assert_eq!(
    ///     Secret::parse("whsec_c2hvcnQ=").unwrap_err().detail().unwrap(),
    ///     "It has 5 bytes after decoding, and needs 24 to 64."
    /// );
    /// ```
    pub fn parse(text: &str) -> Result<Secret, Error> {
        let encoded = text
            .strip_prefix(PREFIX)
            .ok_or_else(|| refused("It does not begin with whsec_."))?;
        let bytes = STANDARD.decode(encoded).map(Zeroizing::new);
        let bytes = bytes
            .map_err(|_| refused("What follows whsec_ is not standard base64 with padding."))?;
        Secret::from_bytes(&bytes)
    }

    /// A secret of 24 to 64 bytes; they should come from a cryptographic random number generator.
    ///
    /// ```
    /// use herald_core::signature::Secret;
    ///
    /// let secret = Secret::from_bytes(&[7; 32]).unwrap();
    /// assert_eq!(Secret::parse(&secret.to_text()).unwrap(), secret);
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Secret, Error> {
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(refused(&format!(
                "It has {} bytes after decoding, and needs 24 to 64.",
                bytes.len()
            )));
        }
        Ok(Secret(Zeroizing::new(bytes.to_vec())))
    }

    /// The form in which the secret is handed to the receiver, `whsec_...`. Show it once and store it nowhere else.
    ///
    /// ```
    /// use herald_core::signature::Secret;
    ///
    /// let secret = Secret::from_bytes(&[0; 24]).unwrap();
    /// assert_eq!(secret.to_text(), "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    /// ```
    pub fn to_text(&self) -> String {
        let mut text = String::from(PREFIX);
        STANDARD.encode_string(&self.0[..], &mut text);
        text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A secret with its key schedule done, so that a signature costs the hash of the message only.
#[derive(Clone)]
pub struct Signer {
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// Prepares a secret for signing.
    ///
    /// ```
    /// use herald_core::signature::{Secret, Signer};
    ///
    /// let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    /// let signature = Signer::new(&secret)
    ///     .sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, br#"{"test": 2432232314}"#)
    ///     .unwrap();
    /// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    /// ```
    pub fn new(secret: &Secret) -> Signer {
        Signer {
            keyed: Hmac::new_from_slice(&secret.0).expect("HMAC takes a key of any length"),
        }
    }

    /// The signature `v1,<base64>` of a message; `timestamp` is the attempt's time in seconds since 1970.
    ///
    /// ```
    /// use herald_core::signature::{Secret, Signer};
    ///
    /// let signer = Signer::new(&Secret::from_bytes(&[7; 32]).unwrap());
    /// assert!(signer.sign("msg_1", 1614265330, b"{}").unwrap().starts_with("v1,"));
    /// assert!(signer.sign("msg.1", 1614265330, b"{}").is_err());
    /// ```
    ///
    /// An id that is empty, contains a full stop or cannot be a header's value is refused with
    /// [`Error::UnsignableId`].
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Result<String, Error> {
        signature_header(std::slice::from_ref(self), id, timestamp, body)
    }

    fn append_signature(&self, header: &mut String, id: &str, timestamp: &str, body: &[u8]) {
        header.push_str("v1,");
        let mac = self.mac(id, timestamp, body).finalize();
        STANDARD.encode_string(mac.into_bytes(), header);
    }

    /// Whether this is the signature of the message, compared in constant time.
    pub(crate) fn is_mine(&self, mac: &[u8], id: &str, timestamp: &str, body: &[u8]) -> bool {
        self.mac(id, timestamp, body).verify_slice(mac).is_ok()
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

/// The value of `webhook-signature`: one signature per secret, separated by spaces.
///
/// While a secret is being rotated there are two, and the receiver accepts either.
///
/// ```
/// use herald_core::signature::{Secret, Signer, signature_header};
///
/// let signers = [[1; 24], [2; 24]].map(|key| Signer::new(&Secret::from_bytes(&key).unwrap()));
/// let header = signature_header(&signers, "msg_1", 1614265330, b"{}").unwrap();
/// assert_eq!(header.split(' ').count(), 2);
/// ```
pub fn signature_header(
    signers: &[Signer],
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<String, Error> {
    if !is_signable(id) {
        return Err(Error::UnsignableId { id: id.into() });
    }
    let timestamp = timestamp.to_string();
    let mut header = String::with_capacity(48 * signers.len());
    for signer in signers {
        if !header.is_empty() {
            header.push(' ');
        }
        signer.append_signature(&mut header, id, &timestamp, body);
    }
    Ok(header)
}

/// Whether the signed text is unambiguous with this id, and a header can have it.
pub(crate) fn is_signable(id: &str) -> bool {
    !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte != b'.' && byte.is_ascii_graphic())
}

fn refused(fault: &str) -> Error {
    Error::Secret {
        fault: fault.into(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;
    use standardwebhooks::Webhook;

    use super::*;

    /// The reference library compares with the clock; all calls of a test run get the same second.
    fn now() -> i64 {
        static NOW: std::sync::LazyLock<i64> = std::sync::LazyLock::new(|| {
            let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap();
            since_1970.as_secs() as i64
        });
        *NOW
    }

    fn signer(text: &str) -> Signer {
        Signer::new(&Secret::parse(text).unwrap())
    }

    fn headers(id: &str, timestamp: i64, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.into());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn published_vectors_are_reproduced() {
        let cases = [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1649367553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1614265330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ];
        for (secret, id, timestamp, body, expected) in cases {
            assert_eq!(
                signer(secret).sign(id, timestamp, body.as_bytes()).unwrap(),
                expected
            );
        }
    }

    #[test]
    fn during_a_rotation_the_old_and_the_new_secret_both_verify() {
        let secrets = [&[1; 24][..], &[2; 64]].map(|key| Secret::from_bytes(key).unwrap());
        let signers = secrets.each_ref().map(Signer::new);
        let header = signature_header(&signers, "msg_1", now(), b"{}").unwrap();
        for secret in secrets {
            let webhook = Webhook::new(&secret.to_text()).unwrap();
            assert!(
                webhook
                    .verify(b"{}", &headers("msg_1", now(), &header))
                    .is_ok()
            );
        }
    }

    #[test]
    fn ambiguous_and_unsendable_ids_are_never_signed() {
        let signer = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        for id in ["", "msg.1", "msg 1", "msg\r\n1", "müsli"] {
            assert_eq!(
                signer.sign(id, 0, b"{}"),
                Err(Error::UnsignableId { id: id.into() })
            );
        }
    }

    #[test]
    fn faulty_secrets_are_refused_without_being_repeated() {
        let short = Secret::from_bytes(&[1; 23]);
        let long = Secret::from_bytes(&[1; 65]);
        for result in [
            short,
            long,
            Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            Secret::parse("whsec_MfKQ9r8G*"),
        ] {
            let error = result.unwrap_err();
            assert!(!format!("{error:?} {error} {:?}", error.hint()).contains("MfKQ"));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Secret::from_bytes(&[b'A'; 24]).unwrap();
        assert_eq!(
            format!("{secret:?} {:?}", Signer::new(&secret)),
            "Secret(***) Signer(***)"
        );
    }

    proptest! {
        #[test]
        fn the_reference_library_verifies_every_signature_and_no_other_body(
            key in proptest::collection::vec(any::<u8>(), SECRET_BYTES),
            body in "[ -~äöü]{1,200}",
        ) {
            let secret = Secret::from_bytes(&key).unwrap();
            let signature = Signer::new(&secret).sign("msg_1", now(), body.as_bytes()).unwrap();
            let webhook = Webhook::new(&secret.to_text()).unwrap();
            let headers = headers("msg_1", now(), &signature);
            let tampered = format!("{body} ");
            prop_assert!(webhook.verify(body.as_bytes(), &headers).is_ok());
            prop_assert!(webhook.verify(tampered.as_bytes(), &headers).is_err());
        }
    }
}
