//! The vault: seals secrets for storage, with a key that is not in the database.
//!
//! AES-256-GCM seals each value together with its purpose: a value copied to another subscription does not open there.
//! Keys come from a file, one per line, the current one first; the others only open values, until these are sealed
//! again. `Debug` shows no key.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;

const KEY_LEN: usize = 32;

/// The random bytes that [`Keys::seal`] needs; two values must never share them.
pub type Random = [u8; NONCE_LEN];

/// A sealed value as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key that opens it.
    pub key_id: String,
    /// The random bytes and the sealed ones, in base64.
    pub text: String,
}

/// The reason why a value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The key that sealed it is missing.
    NoKey,
    /// The value was changed, or belongs to another subscription.
    Changed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => "the key that sealed it is not in herald.secret_key_file",
            Self::Changed => "it is damaged, or was sealed for something else",
        })
    }
}

/// The keys of the file that `herald.secret_key_file` names.
#[derive(Clone)]
pub struct Keys {
    current: Key,
    former: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    bytes: Zeroizing<[u8; KEY_LEN]>,
}

impl Keys {
    /// Parses the contents of a key file: each line has one key of 32 bytes in base64, the current one first. Empty
    /// lines and lines that begin with `#` are ignored.
    ///
    /// ```
    /// use herald_core::vault::{Fault, Keys};
    ///
    /// let keys = Keys::parse("# 2026\nMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    /// let sealed = keys.seal("whsec_secret", "1/signing/", [7; 12]).unwrap();
    /// assert!(!sealed.text.contains("secret"));
    /// assert_eq!(keys.open(&sealed, "1/signing/").unwrap().as_str(), "whsec_secret");
    /// assert_eq!(keys.open(&sealed, "2/signing/"), Err(Fault::Changed));
    /// ```
    pub fn parse(file: &str) -> Result<Keys, Error> {
        let mut keys = Vec::new();
        for (line, text) in file.lines().enumerate() {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let bytes = STANDARD
                .decode(text)
                .map(Zeroizing::new)
                .ok()
                .and_then(|bytes| <[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok())
                .map(Zeroizing::new)
                .ok_or_else(|| {
                    fault(format!(
                        "Line {} is not a key of 32 bytes in base64.",
                        line + 1
                    ))
                })?;
            keys.push(Key {
                id: id_of(&bytes),
                bytes,
            });
        }
        let mut keys = keys.into_iter();
        let current = keys
            .next()
            .ok_or_else(|| fault("The file has no key.".into()))?;
        Ok(Keys {
            current,
            former: keys.collect(),
        })
    }

    /// Returns the id of the key that seals.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// Seals a value with the current key for its purpose `about`. Returns `None` if the value is too long.
    pub fn seal(&self, value: &str, about: &str, random: Random) -> Option<Sealed> {
        let mut bytes = Zeroizing::new(value.as_bytes().to_vec());
        let tag = self
            .current
            .cipher()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(random),
                Aad::from(about),
                &mut bytes,
            )
            .ok()?;
        let whole = [&random[..], bytes.as_slice(), tag.as_ref()].concat();
        Some(Sealed {
            key_id: self.current.id.clone(),
            text: STANDARD.encode(whole),
        })
    }

    /// Opens a value that was sealed for the purpose `about`.
    pub fn open(&self, sealed: &Sealed, about: &str) -> Result<Zeroizing<String>, Fault> {
        let key = std::iter::once(&self.current)
            .chain(&self.former)
            .find(|key| key.id == sealed.key_id)
            .ok_or(Fault::NoKey)?;
        let mut whole = Zeroizing::new(STANDARD.decode(&sealed.text).map_err(|_| Fault::Changed)?);
        let (random, bytes) = whole
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or(Fault::Changed)?;
        let opened = key
            .cipher()
            .ok_or(Fault::Changed)?
            .open_in_place(
                Nonce::assume_unique_for_key(*random),
                Aad::from(about),
                bytes,
            )
            .map_err(|_| Fault::Changed)?;
        String::from_utf8(opened.to_vec())
            .map(Zeroizing::new)
            .map_err(|_| Fault::Changed)
    }
}

impl Key {
    fn cipher(&self) -> Option<LessSafeKey> {
        let key = UnboundKey::new(&AES_256_GCM, self.bytes.as_slice()).ok()?;
        Some(LessSafeKey::new(key))
    }
}

/// Returns an id that tells keys apart and reveals nothing else about them.
fn id_of(key: &[u8; KEY_LEN]) -> String {
    let hash = Sha256::new()
        .chain_update(b"pg_herald secret key id")
        .chain_update(key)
        .finalize();
    hash.iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn fault(fault: String) -> Error {
    Error::Setting {
        name: "herald.secret_key_file",
        value: "***".into(),
        fault,
        hint: "Make a key with: openssl rand -base64 32".into(),
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("current", &self.current.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const TWO: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";

    #[test]
    fn a_former_key_opens_what_it_sealed_and_the_current_one_seals() {
        let old = Keys::parse(ONE).unwrap();
        let sealed = old.seal("value", "1/signing/", [1; 12]).unwrap();
        let both = Keys::parse(&format!("{TWO}\n{ONE}")).unwrap();
        assert_eq!(both.open(&sealed, "1/signing/").unwrap().as_str(), "value");
        let anew = both.seal("value", "1/signing/", [2; 12]).unwrap();
        assert_eq!(anew.key_id, both.current_id());
        assert_ne!(anew.key_id, sealed.key_id);
        assert_eq!(old.open(&anew, "1/signing/"), Err(Fault::NoKey));
    }

    #[test]
    fn what_is_no_key_file_is_refused_without_showing_it() {
        let short = STANDARD.encode([1; 16]);
        for file in ["", "# nothing", "canary", &short, &format!("{ONE}\ncanary")] {
            let error = Keys::parse(file).unwrap_err();
            let words = format!(
                "{} {:?} {:?}",
                error.message(),
                error.detail(),
                error.hint()
            );
            assert!(
                !words.contains("canary") && words.contains("openssl"),
                "{words}"
            );
        }
        assert!(!format!("{:?}", Keys::parse(ONE).unwrap()).contains("MDEy"));
    }

    proptest! {
        #[test]
        fn a_changed_byte_never_opens(value in ".{0,60}", at in any::<prop::sample::Index>(), flip in 1u8..=255) {
            let keys = Keys::parse(ONE).unwrap();
            let sealed = keys.seal(&value, "1/header/x", [3; 12]).unwrap();
            let mut bytes = STANDARD.decode(&sealed.text).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let changed = Sealed { text: STANDARD.encode(bytes), ..sealed.clone() };
            prop_assert_eq!(keys.open(&changed, "1/header/x"), Err(Fault::Changed));
            let opened = keys.open(&sealed, "1/header/x").unwrap();
            prop_assert_eq!(opened.as_str(), value.as_str());
        }
    }
}
