//! The credentials of OAuth 2.0 that a client exchanges for a token (RFC 6749, section 4.4).
//!
//! `Debug` shows none of them.

use std::fmt;
use std::hash::{Hash, Hasher};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Uri;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// The credentials that a client exchanges for a token.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    pub token_url: Uri,
    pub(super) client_id: String,
    pub(super) client_secret: Zeroizing<String>,
    pub(super) scope: Option<String>,
    pub(super) audience: Option<String>,
}

impl ClientCredentials {
    /// Returns the value of the header by which the client authenticates (RFC 6749, section 2.3.1).
    pub(super) fn basic(&self) -> String {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let pair = Zeroizing::new(format!(
            "{}:{}",
            encoded(&self.client_id),
            encoded(&self.client_secret)
        ));
        format!("Basic {}", STANDARD.encode(pair.as_bytes()))
    }
}

impl Hash for ClientCredentials {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            &self.token_url,
            &self.client_id,
            &self.scope,
            &self.audience,
        )
            .hash(state);
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCredentials(***)")
    }
}
