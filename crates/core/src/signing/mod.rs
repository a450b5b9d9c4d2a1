//! How a request proves its sender: signatures by Standard Webhooks, or by any other [`scheme`], perhaps over a
//! [`canonical`] body, and the credentials of [`auth`] beside them. [`verify`] is the receiver's side.
//!
//! Each attempt signs between format and send, over exactly the bytes that are sent. No file of this folder may show a
//! secret (not in `Debug`, not in an error), and each takes the time only from its argument.

use crate::error::Error;
use crate::signing::scheme::Scheme;

pub mod auth;
pub mod canonical;
mod hmac;
mod message;
pub mod scheme;
mod secret;
mod standard;
pub mod verify;

pub use self::hmac::{HmacKey, TEXT_BYTES, sign_in_body, sign_with_scheme};
pub use self::secret::{MAX_TEXT_BYTES, SECRET_BYTES, Secret};
pub use self::standard::{Signer, Verifier, signature_header};

/// How a subscription's requests are signed, and the secrets for that, the current one first.
#[derive(Debug, Clone)]
pub enum Signing {
    /// By Standard Webhooks.
    Standard(Vec<Signer>),
    /// By another scheme.
    Scheme(Box<Scheme>, Vec<HmacKey>),
}

impl Signing {
    /// Prepares the secrets of a subscription. Without a scheme, they must be secrets of Standard Webhooks.
    pub fn new(scheme: Option<Scheme>, secrets: &[String]) -> Result<Signing, Error> {
        match scheme {
            None => secrets
                .iter()
                .map(|text| Ok(Signer::new(&Secret::parse(text)?)))
                .collect::<Result<_, Error>>()
                .map(Signing::Standard),
            Some(scheme) => {
                let keys = secrets
                    .iter()
                    .map(|text| {
                        hmac::check_text(text)?;
                        HmacKey::new(&scheme, text)
                    })
                    .collect::<Result<_, Error>>()?;
                Ok(Signing::Scheme(Box::new(scheme), keys))
            }
        }
    }

    /// Returns whether no secret exists to sign with.
    pub fn is_without_secret(&self) -> bool {
        match self {
            Signing::Standard(signers) => signers.is_empty(),
            Signing::Scheme(_, keys) => keys.is_empty(),
        }
    }
}
