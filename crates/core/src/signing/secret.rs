//! Secrets of Standard Webhooks, and their text forms.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use crate::error::Error;

const SYMMETRIC: &str = "whsec_";
const PRIVATE: &str = "whsk_";
pub(super) const PUBLIC: &str = "whpk_";

/// The allowed size of a key, in bytes (Standard Webhooks 1.0.0, "Symmetric").
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const SEED_BYTES: usize = 32;
/// The maximum size of a secret as text, in bytes: longer texts are not worth decoding.
pub const MAX_TEXT_BYTES: usize = 1024;

/// A secret of Standard Webhooks. It is wiped from memory when dropped, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub(super) kind: Kind,
    /// The key, or the seed of the private key.
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `whsec_`
    Symmetric,
    /// `whsk_`
    Private,
}

impl Secret {
    /// Parses the text form of a secret: `whsec_` and the base64 of 24 to 64 bytes, or `whsk_` and the base64 of an
    /// ed25519 key (its seed, alone or followed by the public key).
    ///
    /// ```
    /// use herald_core::signing::Secret;
    ///
    /// assert!(Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
    /// assert_eq!(
    ///     Secret::parse("whsec_c2hvcnQ=").unwrap_err().detail().unwrap(),
    ///     "It has 5 bytes after decoding, and needs 24 to 64."
    /// );
    /// ```
    pub fn parse(text: &str) -> Result<Secret, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(refused(&format!(
                "It has {} bytes; allowed are {MAX_TEXT_BYTES}.",
                text.len()
            )));
        }
        if let Some(encoded) = text.strip_prefix(SYMMETRIC) {
            Secret::from_bytes(&decode(SYMMETRIC, encoded)?)
        } else if let Some(encoded) = text.strip_prefix(PRIVATE) {
            Secret::from_private_key(&decode(PRIVATE, encoded)?)
        } else {
            Err(refused("It begins with neither whsec_ nor whsk_."))
        }
    }

    /// Parses a secret as [`parse`](Self::parse) does, and also a symmetric one without its prefix, as the official
    /// libraries do.
    pub(super) fn parse_bare(text: &str) -> Result<Secret, Error> {
        // Base64 has no underscore, so the text has a prefix.
        if text.contains('_') || text.len() > MAX_TEXT_BYTES {
            return Secret::parse(text);
        }
        Secret::from_bytes(&decode(SYMMETRIC, text)?)
    }

    /// Creates a secret from 24 to 64 bytes, which should come from a cryptographic random number generator.
    ///
    /// ```
    /// use herald_core::signing::Secret;
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
        Ok(Secret {
            kind: Kind::Symmetric,
            bytes: Zeroizing::new(bytes.to_vec()),
        })
    }

    /// Creates the private key of this seed: 32 bytes from a cryptographic random number generator.
    ///
    /// ```
    /// use herald_core::signing::Secret;
    ///
    /// let secret = Secret::from_seed(&[7; 32]).unwrap();
    /// assert_eq!(Secret::parse(&secret.to_text()).unwrap(), secret);
    /// assert!(secret.public_key().unwrap().starts_with("whpk_"));
    /// ```
    pub fn from_seed(seed: &[u8]) -> Result<Secret, Error> {
        if seed.len() != SEED_BYTES {
            return Err(refused(&format!(
                "It has {} bytes after decoding, and a seed has 32.",
                seed.len()
            )));
        }
        Ok(Secret {
            kind: Kind::Private,
            bytes: Zeroizing::new(seed.to_vec()),
        })
    }

    fn from_private_key(key: &[u8]) -> Result<Secret, Error> {
        let (seed, public) = key.split_at(key.len().min(SEED_BYTES));
        let secret = Secret::from_seed(seed)?;
        if public.is_empty() || public == secret.key_pair().public_key().as_ref() {
            Ok(secret)
        } else {
            Err(refused("Its public key is not the one of its seed."))
        }
    }

    /// Returns the text form of the secret: `whsec_...` is what a receiver gets. Show it once and store it nowhere
    /// else.
    ///
    /// ```
    /// use herald_core::signing::Secret;
    ///
    /// let secret = Secret::from_bytes(&[0; 24]).unwrap();
    /// assert_eq!(secret.to_text(), "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    /// ```
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        match self.kind {
            Kind::Symmetric => {
                text.push_str(SYMMETRIC);
                STANDARD.encode_string(&self.bytes[..], &mut text);
            }
            Kind::Private => {
                let pair = self.key_pair();
                let both = Zeroizing::new([&self.bytes[..], pair.public_key().as_ref()].concat());
                text.push_str(PRIVATE);
                STANDARD.encode_string(&both[..], &mut text);
            }
        }
        text
    }

    /// Returns the public key `whpk_...`, which receivers verify with, if the secret is a private key.
    pub fn public_key(&self) -> Option<String> {
        let text = || {
            let mut text = String::from(PUBLIC);
            STANDARD.encode_string(self.key_pair().public_key().as_ref(), &mut text);
            text
        };
        (self.kind == Kind::Private).then(text)
    }

    pub(super) fn key_pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&self.bytes).expect("a seed has 32 bytes")
    }
}

pub(super) fn decode(prefix: &str, encoded: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = STANDARD.decode(encoded).map(Zeroizing::new);
    bytes.map_err(|_| {
        refused(&format!(
            "What follows {prefix} is not standard base64 with padding."
        ))
    })
}

/// Returns the error for a faulty secret.
pub(super) fn refused(fault: &str) -> Error {
    Error::Secret {
        fault: fault.into(),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_secret_is_not_decoded() {
        let error = Secret::parse(&format!("whsec_{}", "A".repeat(MAX_TEXT_BYTES))).unwrap_err();
        assert_eq!(
            error.detail().unwrap(),
            "It has 1030 bytes; allowed are 1024."
        );
        let longest = format!("whsec_{}", "A".repeat(MAX_TEXT_BYTES - 8));
        let error = Secret::parse(&longest).unwrap_err();
        assert!(error.detail().unwrap().contains("after decoding"));
    }
}
