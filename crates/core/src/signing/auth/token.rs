//! Tokens of OAuth 2.0: the request for one, and the answer. `Debug` shows none of them.

use std::fmt;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method};
use serde::Deserialize;
use url::form_urlencoded;

use super::client_credentials::ClientCredentials;
use crate::request::http_request::HttpRequest;
use crate::subscription::secrets::NamedSecrets;

/// The life of a token whose answer gives none.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
/// A token is not used in the last part of its life: requests take time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(30);
/// The maximum life of any token: no clock reaches `u64::MAX` seconds.
const MAX_LIFE: Duration = Duration::from_secs(86_400);

/// The maximum size of a header's value, in bytes: with the longest name, the line stays within
/// [`MAX_LINE_BYTES`](crate::request::MAX_LINE_BYTES).
pub(super) const MAX_TEXT_BYTES: usize = 11_264;

impl ClientCredentials {
    /// Returns the request for a token; the client authenticates in a header (RFC 6749, section 2.3.1).
    pub fn token_request(&self, timeout: Duration) -> HttpRequest {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let mut basic = HeaderValue::try_from(self.basic()).expect("base64 makes a valid header");
        basic.set_sensitive(true);
        HttpRequest {
            method: Method::POST,
            url: self.token_url.clone(),
            headers: vec![
                (
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                ),
                (ACCEPT, HeaderValue::from_static("application/json")),
                (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
                (AUTHORIZATION, basic),
            ],
            body: form.finish().into_bytes(),
            timeout,
            oauth2: None,
            secrets: NamedSecrets::default(),
            keeps: false,
            signature_at: None,
        }
    }
}

/// A token, and how long it may be used.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub header: HeaderValue,
    pub life: Duration,
}

impl Token {
    /// Reads the answer of a token endpoint (RFC 6749, section 5.1). The error says what is wrong, but repeats nothing
    /// of the answer.
    ///
    /// ```
    /// use herald_core::signing::auth::Token;
    ///
    /// let token = Token::read(200, br#"{"access_token":"abc","token_type":"bearer","expires_in":3600}"#).unwrap();
    /// assert_eq!(token.header, "Bearer abc");
    /// assert_eq!(token.life.as_secs(), 3570);
    /// assert_eq!(Token::read(401, b"").unwrap_err(), "the token endpoint answered with status 401");
    /// ```
    pub fn read(status: u16, body: &[u8]) -> Result<Token, String> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: String,
            token_type: Option<String>,
            expires_in: Option<serde_json::Value>,
        }
        if status != 200 {
            return Err(format!("the token endpoint answered with status {status}"));
        }
        let answer: Answer = serde_json::from_slice(body).map_err(|_| {
            "the token endpoint answered without an access_token in JSON".to_owned()
        })?;
        if answer
            .token_type
            .is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
        {
            return Err("the token endpoint gave a token that is no bearer token".into());
        }
        let mut header = HeaderValue::try_from(format!("Bearer {}", answer.access_token))
            .ok()
            .filter(|value| value.to_str().is_ok() && !answer.access_token.is_empty())
            .filter(|value| value.len() <= MAX_TEXT_BYTES)
            .ok_or("the token endpoint gave a token that a header cannot carry")?;
        header.set_sensitive(true);
        // Some endpoints write the number as a string.
        let life = answer.expires_in.and_then(|value| match value {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        });
        let life = life.map_or(DEFAULT_LIFE, Duration::from_secs).min(MAX_LIFE);
        Ok(Token {
            header,
            life: life.saturating_sub(MARGIN.min(life / 2)),
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}
