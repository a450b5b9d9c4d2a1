//! One HTTP request, as plain data that is ready to be sent.
//!
//! Everything that is sent to a receiver or to a token endpoint is one. `Debug` must show neither the body, nor a
//! header's value, nor more of the url than its host.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::signing::auth::client_credentials::ClientCredentials;
use crate::subscription::secrets::NamedSecrets;

/// One HTTP request, except for the headers that the connection adds (`host` and `content-length`).
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: Method,
    /// A url without placeholders shares the text of the subscription's url.
    pub url: Uri,
    /// All headers in the order sent. Secret values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; the signature covers exactly these bytes.
    pub body: Vec<u8>,
    /// The maximum duration of the whole attempt.
    pub timeout: Duration,
    /// The credentials to exchange for a token, which is sent in `authorization`.
    pub oauth2: Option<Arc<ClientCredentials>>,
    /// The secrets to hide in the receiver's answer.
    pub secrets: NamedSecrets,
    /// Whether to keep the request for people if it fails.
    pub keeps: bool,
    /// The offset of the last member's value in the uncompressed body, if that is a signature.
    pub signature_at: Option<usize>,
}

impl HttpRequest {
    /// Returns the body for people: uncompressed, and with the signature in it only if `show_secrets` is set.
    pub fn readable_body(&self, show_secrets: bool) -> String {
        let mut unpacked = Vec::new();
        let is_packed = self
            .headers
            .iter()
            .any(|(name, _)| name == CONTENT_ENCODING);
        let bytes = match GzDecoder::new(self.body.as_slice()).read_to_end(&mut unpacked) {
            Ok(_) if is_packed => &unpacked,
            _ => &self.body,
        };
        let hidden = self.signature_at.filter(|_| !show_secrets);
        let shown = hidden.and_then(|at| bytes.get(..at)).unwrap_or(bytes);
        let mut text = String::from_utf8_lossy(shown).into_owned();
        if hidden.is_some() {
            text.push_str("\"***\"}");
        }
        text
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
