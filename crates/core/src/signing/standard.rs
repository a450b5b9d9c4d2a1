//! Signatures by Standard Webhooks 1.0.0: `v1`, HMAC-SHA256, and `v1a`, ed25519, over `id.timestamp.body`.
//!
//! This module must never sign an id that contains a full stop, because the signed text would then be ambiguous.

use std::fmt;
use std::sync::Arc;

use ::hmac::{Hmac, Mac};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::Sha256;

use super::message::{is_signable, keyed};
use super::secret::{self, Secret};
use crate::error::Error;

/// A secret of Standard Webhooks, prepared so that a signature costs only the hash of the message.
#[derive(Clone)]
pub struct Signer(Ready);

#[derive(Clone)]
enum Ready {
    V1(Hmac<Sha256>),
    V1a(Arc<Ed25519KeyPair>),
}

impl Signer {
    /// Prepares a secret for signing.
    ///
    /// ```
    /// use herald_core::signing::{Secret, Signer};
    ///
    /// let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    /// let signature = Signer::new(&secret)
    ///     .sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, br#"{"test": 2432232314}"#)
    ///     .unwrap();
    /// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    /// ```
    pub fn new(secret: &Secret) -> Signer {
        Signer(match secret.kind {
            secret::Kind::Symmetric => Ready::V1(keyed(&secret.bytes)),
            secret::Kind::Private => Ready::V1a(Arc::new(secret.key_pair())),
        })
    }

    /// Returns the signature `v1,<base64>` or `v1a,<base64>` of a message; `timestamp` is the attempt's time in seconds
    /// since 1970.
    ///
    /// ```
    /// use herald_core::signing::{Secret, Signer};
    ///
    /// let signer = Signer::new(&Secret::from_bytes(&[7; 32]).unwrap());
    /// assert!(signer.sign("msg_1", 1614265330, b"{}").unwrap().starts_with("v1,"));
    /// assert!(signer.sign("msg.1", 1614265330, b"{}").is_err());
    /// ```
    ///
    /// If the id is empty, contains a full stop or cannot be a header's value, the error is [`Error::UnsignableId`].
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Result<String, Error> {
        signature_header(std::slice::from_ref(self), id, timestamp, body)
    }

    fn append_signature(&self, header: &mut String, id: &str, timestamp: &str, body: &[u8]) {
        match &self.0 {
            Ready::V1(keyed) => {
                header.push_str("v1,");
                let mac = mac(keyed, id, timestamp, body).finalize();
                STANDARD.encode_string(mac.into_bytes(), header);
            }
            Ready::V1a(pair) => {
                header.push_str("v1a,");
                let message = signed_parts(id, timestamp, body).concat();
                STANDARD.encode_string(pair.sign(&message), header);
            }
        }
    }
}

/// Returns the parts of the text that Standard Webhooks signs.
fn signed_parts<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

fn mac(keyed: &Hmac<Sha256>, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = keyed.clone();
    for part in signed_parts(id, timestamp, body) {
        mac.update(part);
    }
    mac
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

/// A key that verifies Standard Webhooks: the symmetric secret, or the public key.
pub struct Verifier(Known);

enum Known {
    V1(Hmac<Sha256>),
    V1a(Vec<u8>),
}

impl Verifier {
    /// Parses `whsec_...`, also without the prefix, `whpk_...`, or `whsk_...`, from which it takes the public key.
    pub fn parse(text: &str) -> Result<Verifier, Error> {
        if let Some(encoded) = text.strip_prefix(secret::PUBLIC) {
            let key = secret::decode(secret::PUBLIC, encoded)?;
            return Ok(Verifier(Known::V1a(key.to_vec())));
        }
        let secret = Secret::parse_bare(text)?;
        Ok(Verifier(match secret.kind {
            secret::Kind::Symmetric => Known::V1(keyed(&secret.bytes)),
            secret::Kind::Private => Known::V1a(secret.key_pair().public_key().as_ref().to_vec()),
        }))
    }

    /// Returns whether this key made one member of `webhook-signature`. Compares in constant time.
    pub(crate) fn accepts(&self, signature: &str, id: &str, timestamp: &str, body: &[u8]) -> bool {
        let bytes = |prefix| STANDARD.decode(signature.strip_prefix(prefix)?).ok();
        match &self.0 {
            Known::V1(keyed) => bytes("v1,").is_some_and(|bytes: Vec<u8>| {
                mac(keyed, id, timestamp, body).verify_slice(&bytes).is_ok()
            }),
            Known::V1a(public) => bytes("v1a,").is_some_and(|bytes: Vec<u8>| {
                let message = signed_parts(id, timestamp, body).concat();
                let key = UnparsedPublicKey::new(&ED25519, public);
                key.verify(&message, &bytes).is_ok()
            }),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

/// Returns the value of `webhook-signature`: one signature per secret, separated by spaces.
///
/// During the rotation of a secret, it contains two, and the receiver accepts either.
///
/// ```
/// use herald_core::signing::{Secret, Signer, signature_header};
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

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;
    use standardwebhooks::Webhook;

    use super::super::secret::SECRET_BYTES;
    use super::*;

    /// Returns the same second in all calls of a test run, because the reference library compares with the clock.
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
