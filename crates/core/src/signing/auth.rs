//! Credentials that a receiver wants beside the signature: a header, or a token to fetch (OAuth 2.0).
//!
//! `subscribe` checks them, and each request sends them. `Debug` shows none of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Uri};
use zeroize::Zeroizing;

use crate::egress::url_policy::UrlPolicy;
use crate::error::Error;
use crate::request::target::Target;
use crate::subscription::headers;
use crate::suggest;
use token::MAX_TEXT_BYTES;

pub mod client_credentials;
pub mod token;

pub use client_credentials::ClientCredentials;
pub use token::Token;

/// Each type with its required and its optional members.
const TYPES: [(&str, &[&str], &[&str]); 4] = [
    ("bearer", &["token"], &[]),
    ("basic", &["username", "password"], &[]),
    ("api_key", &["header", "key"], &[]),
    (
        "oauth2",
        &["token_url", "client_id", "client_secret"],
        &["scope", "audience"],
    ),
];

/// The maximum size of each member, in bytes.
pub const MAX_MEMBER_BYTES: usize = 8192;

/// The members that are secrets.
pub const SECRET_MEMBERS: [&str; 4] = ["token", "password", "key", "client_secret"];

/// How a request proves its sender, beside the signature.
#[derive(Clone)]
pub enum Auth {
    /// The same header with each request.
    Header(HeaderName, HeaderValue),
    /// A token of the client credentials grant (RFC 6749, section 4.4).
    OAuth2(Arc<ClientCredentials>),
}

impl Auth {
    /// Parses the option `auth`.
    ///
    /// ```
    /// use herald_core::{signing::auth::Auth, egress::url_policy::UrlPolicy};
    ///
    /// let auth = |members: &[(&str, &str)]| {
    ///     let members = members.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    ///     Auth::parse(&members.collect(), &UrlPolicy::default())
    /// };
    /// assert!(auth(&[("type", "bearer"), ("token", "abc")]).is_ok());
    /// let error = auth(&[("type", "bearer"), ("tokn", "abc")]).unwrap_err();
    /// assert_eq!(error.detail().unwrap(), "It has no member \"tokn\".");
    /// assert_eq!(error.hint().unwrap(), "Perhaps you meant \"token\".");
    /// ```
    pub fn parse(members: &BTreeMap<String, String>, policy: &UrlPolicy) -> Result<Auth, Error> {
        let kind = members.get("type").map(String::as_str).unwrap_or_default();
        let Some((_, needed, optional)) = TYPES.iter().find(|(name, ..)| *name == kind) else {
            return Err(refused(
                format!("Its type is {kind:?}."),
                "Use one of bearer, basic, api_key, oauth2.".into(),
            ));
        };
        let members = Members {
            kind,
            needed,
            optional,
            values: members,
        };
        members.check()?;
        match kind {
            "bearer" => {
                let token = format!("Bearer {}", members.need("token")?);
                header(AUTHORIZATION, "token", &token)
            }
            "basic" => basic(&members),
            "api_key" => {
                let name = headers::parse_name(members.need("header")?)?;
                header(name, "key", members.need("key")?)
            }
            _ => {
                let credentials = ClientCredentials {
                    token_url: token_url(members.need("token_url")?, policy)?,
                    client_id: members.need("client_id")?.clone(),
                    client_secret: Zeroizing::new(members.need("client_secret")?.clone()),
                    scope: members.get("scope").cloned(),
                    audience: members.get("audience").cloned(),
                };
                header(AUTHORIZATION, "client_secret", &credentials.basic())?;
                Ok(Auth::OAuth2(Arc::new(credentials)))
            }
        }
    }

    /// Returns the header that the credentials write.
    pub fn header(&self) -> &HeaderName {
        match self {
            Auth::Header(name, _) => name,
            Auth::OAuth2(_) => &AUTHORIZATION,
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(***)")
    }
}

/// The members of the option, and those that its type has.
struct Members<'a> {
    kind: &'a str,
    needed: &'a [&'a str],
    optional: &'a [&'a str],
    values: &'a BTreeMap<String, String>,
}

impl Members<'_> {
    /// Refuses unknown members, and values that are too long.
    fn check(&self) -> Result<(), Error> {
        let known = || self.needed.iter().chain(self.optional).copied();
        for (name, value) in self.values.iter().filter(|(name, _)| *name != "type") {
            if value.len() > MAX_MEMBER_BYTES {
                return Err(refused(
                    format!(
                        "Its member {name:?} has {} bytes; allowed are {MAX_MEMBER_BYTES}.",
                        value.len()
                    ),
                    "Use a shorter one.".into(),
                ));
            }
            if !known().any(|other| other == name) {
                let hint = match suggest::nearest(name, known()) {
                    Some(nearest) => format!("Perhaps you meant \"{nearest}\"."),
                    None => format!(
                        "Beside its type it has {}.",
                        known().collect::<Vec<_>>().join(", ")
                    ),
                };
                return Err(refused(format!("It has no member {name:?}."), hint));
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&String> {
        self.values.get(name).filter(|value| !value.is_empty())
    }

    fn need(&self, name: &str) -> Result<&String, Error> {
        self.get(name).ok_or_else(|| {
            refused(
                format!("Its member {name:?} is missing or empty."),
                format!(
                    "Auth of the type {} needs {}.",
                    self.kind,
                    self.needed.join(", ")
                ),
            )
        })
    }
}

fn basic(members: &Members<'_>) -> Result<Auth, Error> {
    let username = members.need("username")?;
    if username.contains(':') {
        return Err(refused(
            "Its username contains a colon.".into(),
            "What follows the colon would be read as the password.".into(),
        ));
    }
    let pair = Zeroizing::new(format!("{username}:{}", members.need("password")?));
    let text = format!("Basic {}", STANDARD.encode(pair.as_bytes()));
    header(AUTHORIZATION, "password", &text)
}

/// Returns a header with this text, which came from the member.
fn header(name: HeaderName, member: &str, text: &str) -> Result<Auth, Error> {
    let value = HeaderValue::from_str(text).ok();
    let Some(mut value) = value.filter(|value| value.to_str().is_ok()) else {
        return Err(refused(
            format!("Its {member} has characters that a header cannot carry."),
            "Use visible ASCII characters.".into(),
        ));
    };
    if text.len() > MAX_TEXT_BYTES {
        return Err(refused(
            format!(
                "With it the header would have {} bytes; allowed are {MAX_TEXT_BYTES}.",
                text.len()
            ),
            format!("Use a shorter {member}."),
        ));
    }
    value.set_sensitive(true);
    Ok(Auth::Header(name, value))
}

fn token_url(text: &str, policy: &UrlPolicy) -> Result<Uri, Error> {
    let target = Target::parse(text, policy)?;
    if text.contains('{') {
        return Err(refused(
            "Its token_url has a placeholder.".into(),
            "Use one address for all events.".into(),
        ));
    }
    Ok(target.origin().clone())
}

fn refused(fault: String, hint: String) -> Error {
    Error::Option {
        option: "auth",
        fault,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(members: &[(&str, &str)]) -> Result<Auth, Error> {
        let members = members
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        Auth::parse(&members.collect(), &UrlPolicy::default())
    }

    fn header(members: &[(&str, &str)]) -> String {
        match parse(members).unwrap() {
            Auth::Header(name, value) => {
                assert!(value.is_sensitive());
                format!("{name}: {}", value.to_str().unwrap())
            }
            Auth::OAuth2(_) => panic!("a header"),
        }
    }

    const OAUTH2: [(&str, &str); 4] = [
        ("type", "oauth2"),
        ("token_url", "https://id.example.com/token"),
        ("client_id", "herald"),
        ("client_secret", "s:e/c"),
    ];

    #[test]
    fn each_type_writes_its_header() {
        assert_eq!(
            header(&[("type", "bearer"), ("token", "t")]),
            "authorization: Bearer t"
        );
        assert_eq!(
            header(&[
                ("type", "basic"),
                ("username", "Aladdin"),
                ("password", "open sesame")
            ]),
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!(
            header(&[("type", "api_key"), ("header", "X-API-Key"), ("key", "k")]),
            "x-api-key: k"
        );
    }

    #[test]
    fn each_member_is_bounded() {
        for (kind, member) in [
            ("bearer", "token"),
            ("oauth2", "scope"),
            ("oauth2", "client_secret"),
        ] {
            let of = |bytes: usize| {
                let value = "x".repeat(bytes);
                let others = if kind == "oauth2" { &OAUTH2[..] } else { &[] };
                let members = [others, &[("type", kind), (member, value.as_str())]].concat();
                parse(&members)
                    .map(drop)
                    .map_err(|error| error.detail().unwrap())
            };
            assert_eq!(of(MAX_MEMBER_BYTES), Ok(()), "{member}");
            assert_eq!(
                of(MAX_MEMBER_BYTES + 1),
                Err(format!(
                    "Its member {member:?} has 8193 bytes; allowed are 8192."
                ))
            );
        }
    }

    #[test]
    fn together_they_fit_into_one_line_of_the_head() {
        let long = "x".repeat(5000);
        let encoded = "ä".repeat(2000);
        for members in [
            vec![("type", "basic"), ("username", &long), ("password", &long)],
            [&OAUTH2[..], &[("client_secret", &encoded)]].concat(),
        ] {
            let detail = parse(&members).unwrap_err().detail().unwrap();
            assert!(detail.ends_with("allowed are 11264."), "{detail}");
        }
        let token = |bytes| format!(r#"{{"access_token":"{}"}}"#, "x".repeat(bytes));
        assert!(Token::read(200, token(8192).as_bytes()).is_ok());
        assert!(Token::read(200, token(12_000).as_bytes()).is_err());
    }

    #[test]
    fn the_token_request_is_the_one_of_rfc_6749() {
        let members = [
            &OAUTH2[..],
            &[("scope", "a b"), ("audience", "https://api.example.com")],
        ]
        .concat();
        let Auth::OAuth2(credentials) = parse(&members).unwrap() else {
            panic!("OAuth 2.0");
        };
        let request = credentials.token_request(Duration::from_secs(1));
        assert_eq!(request.url, "https://id.example.com/token");
        assert_eq!(
            String::from_utf8(request.body).unwrap(),
            "grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapi.example.com"
        );
        let sent = &request
            .headers
            .iter()
            .find(|(name, _)| *name == AUTHORIZATION)
            .unwrap()
            .1;
        assert_eq!(
            sent,
            &format!("Basic {}", STANDARD.encode("herald:s%3Ae%2Fc"))
        );
        assert!(sent.is_sensitive());
    }

    #[test]
    fn what_cannot_authenticate_is_refused_without_repeating_a_secret() {
        let without_secret = &OAUTH2[..3];
        let inside = [
            &OAUTH2[..1],
            &[
                ("token_url", "https://10.0.0.1/"),
                ("client_id", "a"),
                ("client_secret", "canary"),
            ],
        ]
        .concat();
        for members in [
            &[][..],
            &[("type", "digest")],
            &[("type", "bearer")],
            &[("type", "bearer"), ("token", "")],
            &[("type", "bearer"), ("token", "canary\r\nx: y")],
            &[("type", "bearer"), ("token", "canary"), ("user", "x")],
            &[
                ("type", "basic"),
                ("username", "a:b"),
                ("password", "canary"),
            ],
            &[("type", "api_key"), ("header", "host"), ("key", "canary")],
            &[
                ("type", "api_key"),
                ("header", "webhook-id"),
                ("key", "canary"),
            ],
            without_secret,
            &inside,
        ] {
            let error = parse(members).unwrap_err();
            assert!(error.hint().is_some(), "{members:?}");
            assert!(
                !format!("{error:?} {error} {:?}", error.hint()).contains("canary"),
                "{members:?}"
            );
        }
        assert_eq!(format!("{:?}", parse(&OAUTH2).unwrap()), "Auth(***)");
    }

    #[test]
    fn a_token_is_taken_from_what_endpoints_really_answer() {
        let life = |body: &str| Token::read(200, body.as_bytes()).map(|token| token.life.as_secs());
        assert_eq!(life(r#"{"access_token":"a","expires_in":"120"}"#), Ok(90));
        assert_eq!(
            life(r#"{"access_token":"a","token_type":"Bearer"}"#),
            Ok(270)
        );
        assert_eq!(life(r#"{"access_token":"a","expires_in":10}"#), Ok(5));
        for body in [
            "",
            "[]",
            r#"{"access_token":""}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
        ] {
            assert!(life(body).is_err(), "{body}");
        }
    }
}
