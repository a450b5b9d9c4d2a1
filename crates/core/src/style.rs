//! The style: how the requests of a subscription look, beside where they go and which headers they carry.
//!
//! [`StyleOptions`] are its options as SQL stores them, as one document; [`Style`] is what is left to do for each event.
//! Whatever does not fit together is refused here, at subscribe.

use std::collections::BTreeMap;
use std::fmt;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::Auth;
use crate::error::Error;
use crate::format::{Format, Profile, Template};
use crate::handshake::Handshake;
use crate::headers::Headers;
use crate::scheme::Scheme;
use crate::url_policy::UrlPolicy;

/// What requests say they are sent by, where a subscription says nothing else.
pub const DEFAULT_USER_AGENT: &str = concat!("pg_herald/", env!("CARGO_PKG_VERSION"));
const MAX_USER_AGENT: usize = 256;

/// How requests look, unchecked. What is left out is as ever.
#[derive(Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StyleOptions {
    /// `POST`, `PUT` or `PATCH`
    pub method: Option<String>,
    /// `structured`, `binary`, `batched`, `envelope`, `data`, `raw` or `template`
    pub format: Option<String>,
    /// The template in minijinja, for the format `template`.
    pub template: Option<String>,
    /// The media type of the body, for the formats `raw` and `template`.
    pub content_type: Option<String>,
    /// `minimal`, `standard` or `detailed`
    pub profile: Option<String>,
    /// Whether an event that is too large is sent in a smaller profile.
    pub shrink: bool,
    /// `none` or `gzip`
    pub compression: Option<String>,
    pub user_agent: Option<String>,
    /// `"standard"`, the name of a preset, or the parts of a scheme: see [`Scheme::parse`].
    pub signing: Option<Value>,
    /// The members of [`Auth::parse`].
    pub auth: Option<BTreeMap<String, String>>,
    /// What [`Handshake::parse`] reads.
    pub handshake: Option<Value>,
}

impl fmt::Debug for StyleOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StyleOptions")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// How requests look, ready to be made.
#[derive(Debug, Clone)]
pub struct Style {
    pub method: Method,
    pub format: Format,
    pub profile: Profile,
    pub shrink: bool,
    pub gzip: bool,
    pub user_agent: HeaderValue,
    pub auth: Option<Auth>,
    /// What the receiver has to consent to first.
    pub handshake: Option<Handshake>,
}

impl StyleOptions {
    /// Reads the document that is stored.
    pub fn parse(json: &str) -> Result<StyleOptions, Error> {
        serde_json::from_str(json).map_err(|error| Error::Option {
            option: "subscription",
            fault: format!("Its options cannot be read: {error}."),
            hint: "Set them again with herald.subscribe().".into(),
        })
    }

    /// Checks the options, with the headers beside them, and makes them ready. The scheme is the one of the signature, if
    /// it is not Standard Webhooks.
    pub fn compile(
        &self,
        headers: &Headers,
        policy: &UrlPolicy,
        request_origin: &str,
    ) -> Result<(Style, Option<Scheme>), Error> {
        let format = self.format()?;
        let profile = choice(
            "profile",
            self.profile.as_deref(),
            &[
                ("standard", Profile::Standard),
                ("minimal", Profile::Minimal),
                ("detailed", Profile::Detailed),
            ],
        )?;
        if !format.has_profiles() && (profile != Profile::Standard || self.shrink) {
            return Err(refused(
                if self.shrink { "shrink" } else { "profile" },
                "The format has nothing to leave out: it is what the data or the template makes.",
                "Use the format structured, binary, batched or envelope, or leave the option out.",
            ));
        }
        let scheme = self.scheme()?;
        let gzip = choice(
            "compression",
            self.compression.as_deref(),
            &[("none", false), ("gzip", true)],
        )?;
        if let Some(scheme) = &scheme {
            check_scheme(scheme, &format, gzip)?;
        }
        let auth = self
            .auth
            .as_ref()
            .map(|members| Auth::parse(members, policy));
        let style = Style {
            method: choice(
                "method",
                self.method.as_deref(),
                &[
                    ("POST", Method::POST),
                    ("PUT", Method::PUT),
                    ("PATCH", Method::PATCH),
                ],
            )?,
            format,
            profile,
            shrink: self.shrink,
            gzip,
            user_agent: self.user_agent()?,
            auth: auth.transpose()?,
            handshake: self
                .handshake
                .as_ref()
                .map(|option| Handshake::parse(option, request_origin, policy))
                .transpose()?,
        };
        style.check_headers(headers, scheme.as_ref(), self.user_agent.is_some())?;
        Ok((style, scheme))
    }

    /// The scheme of the signature; none for Standard Webhooks.
    pub fn scheme(&self) -> Result<Option<Scheme>, Error> {
        match &self.signing {
            None => Ok(None),
            Some(Value::String(name)) if name == "standard" => Ok(None),
            Some(signing) => Scheme::parse(signing).map(Some),
        }
    }

    fn format(&self) -> Result<Format, Error> {
        let content_type = self.content_type.as_deref().map(content_type).transpose()?;
        let name = self.format.as_deref().unwrap_or("structured");
        if self.template.is_some() != (name == "template") {
            return Err(refused(
                "template",
                &format!("The format is {name:?}."),
                "Use format => 'template' and template => '...' together.",
            ));
        }
        if content_type.is_some() && !matches!(name, "raw" | "template") {
            return Err(refused(
                "content_type",
                &format!("It follows from the format, which is {name:?}."),
                "Leave it out, or use the format raw or template.",
            ));
        }
        match (name, &self.template) {
            ("template", Some(source)) => Template::new(source, content_type).map(Format::Template),
            ("raw", _) => Ok(Format::Raw { content_type }),
            _ => choice(
                "format",
                Some(name),
                &[
                    ("structured", Format::Structured),
                    ("binary", Format::Binary),
                    ("batched", Format::Batched),
                    ("envelope", Format::Envelope),
                    ("data", Format::Data),
                ],
            )
            .map_err(|error| match error {
                Error::Option { option, fault, .. } => Error::Option {
                    option,
                    fault,
                    hint: "Use one of structured, binary, batched, envelope, data, raw, template."
                        .into(),
                },
                other => other,
            }),
        }
    }

    fn user_agent(&self) -> Result<HeaderValue, Error> {
        let Some(text) = self.user_agent.as_deref() else {
            return Ok(HeaderValue::from_static(DEFAULT_USER_AGENT));
        };
        let is_visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        HeaderValue::from_str(text)
            .ok()
            .filter(|_| {
                is_visible && text.trim() == text && (1..=MAX_USER_AGENT).contains(&text.len())
            })
            .ok_or_else(|| {
                refused(
                    "user_agent",
                    "It has to be 1 to 256 visible ASCII characters.",
                    "Use user_agent => 'shop/1.0', or leave it out.",
                )
            })
    }
}

impl Style {
    /// Refuses a header that two of the options would write.
    fn check_headers(
        &self,
        headers: &Headers,
        scheme: Option<&Scheme>,
        has_user_agent: bool,
    ) -> Result<(), Error> {
        let twice = |name: &HeaderName, option: &str| Error::Header {
            name: name.to_string(),
            fault: format!("It is written by the option {option} already."),
            hint: format!("Leave it out of headers, or change {option}."),
        };
        if has_user_agent && headers.contains(&USER_AGENT) {
            return Err(twice(&USER_AGENT, "user_agent"));
        }
        let auth = self.auth.as_ref().map(Auth::header);
        if let Some(name) = auth.filter(|name| headers.contains(name)) {
            return Err(twice(name, "auth"));
        }
        for name in scheme.into_iter().flat_map(Scheme::headers) {
            if headers.contains(name) {
                return Err(twice(name, "signing"));
            }
            if Some(name) == auth || *name == AUTHORIZATION || *name == USER_AGENT {
                return Err(refused(
                    "signing",
                    &format!("The header {:?} has another meaning.", name.as_str()),
                    "Use a header of its own for the signature.",
                ));
            }
        }
        Ok(())
    }
}

/// What a scheme needs of the body.
fn check_scheme(scheme: &Scheme, format: &Format, gzip: bool) -> Result<(), Error> {
    if scheme.canonical.is_some() && gzip {
        return Err(refused(
            "signing",
            "Its receiver signs what it parsed, and not the compressed bytes.",
            "Leave compression out, or use another signing.",
        ));
    }
    let is_object = format.is_json() && !matches!(format, Format::Batched);
    if scheme.body_member.is_some() && !is_object {
        return Err(refused(
            "signing",
            "Its body_member belongs into a JSON object, which the body is not in this format.",
            "Use the format structured, envelope, data or template, or leave body_member out.",
        ));
    }
    if scheme.canonical.is_some() && !format.is_json() {
        return Err(refused(
            "signing",
            "Its canonical form is one of JSON, which the body is not in this format.",
            "Use the format structured, batched, envelope, data or template.",
        ));
    }
    Ok(())
}

fn content_type(text: &str) -> Result<HeaderValue, Error> {
    let is_media_type = |media: &str| {
        let token = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        media
            .split_once('/')
            .is_some_and(|(kind, subtype)| token(kind) && token(subtype))
    };
    let media = text.split(';').next().unwrap_or_default();
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| text.is_ascii() && text.len() <= 256 && is_media_type(media.trim()))
        .ok_or_else(|| {
            refused(
                "content_type",
                "It is no media type.",
                "Use content_type => 'application/xml; charset=utf-8', for instance.",
            )
        })
}

fn choice<T: Clone>(
    option: &'static str,
    wanted: Option<&str>,
    choices: &[(&str, T)],
) -> Result<T, Error> {
    let found = match wanted {
        None => choices.first(),
        Some(wanted) => choices.iter().find(|(name, _)| *name == wanted),
    };
    let names = || {
        choices
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    found.map(|(_, value)| value.clone()).ok_or_else(|| {
        refused(
            option,
            &format!("It is {:?}.", wanted.unwrap_or_default()),
            &format!("Use one of {}.", names()),
        )
    })
}

fn refused(option: &'static str, fault: &str, hint: &str) -> Error {
    Error::Option {
        option,
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str, headers: &[(&str, &str)]) -> Result<(Style, Option<Scheme>), Error> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let headers = Headers::parse(&headers)?;
        StyleOptions::parse(json)?.compile(&headers, &UrlPolicy::default(), "")
    }

    #[test]
    fn nothing_said_is_a_signed_cloudevent_by_post() {
        let (style, scheme) = compile("{}", &[]).unwrap();
        assert!(matches!(style.format, Format::Structured));
        assert_eq!(
            (style.method, style.gzip, style.shrink),
            (Method::POST, false, false)
        );
        assert_eq!(style.user_agent, DEFAULT_USER_AGENT);
        assert_eq!((scheme, style.auth.is_none()), (None, true));
        let null =
            r#"{"method":null,"format":null,"signing":"standard","shrink":false,"auth":null}"#;
        assert!(compile(null, &[]).is_ok());
    }

    #[test]
    fn what_is_wrong_or_does_not_fit_together_is_refused_with_a_hint() {
        for (json, option) in [
            (r#"{"method":"GET"}"#, "method"),
            (r#"{"format":"xml"}"#, "format"),
            (r#"{"format":"template"}"#, "template"),
            (r#"{"template":"{}"}"#, "template"),
            (r#"{"format":"template","template":"{{"}"#, "template"),
            (r#"{"content_type":"text/plain"}"#, "content_type"),
            (r#"{"format":"raw","content_type":"text"}"#, "content_type"),
            (
                r#"{"format":"raw","content_type":"text/plain\r\nx: y"}"#,
                "content_type",
            ),
            (r#"{"profile":"tiny"}"#, "profile"),
            (r#"{"format":"data","profile":"minimal"}"#, "profile"),
            (r#"{"format":"raw","shrink":true}"#, "shrink"),
            (r#"{"compression":"br"}"#, "compression"),
            (r#"{"user_agent":""}"#, "user_agent"),
            (r#"{"user_agent":"a\nb"}"#, "user_agent"),
            (r#"{"signing":"nothing"}"#, "signing"),
            (r#"{"signing":"frame","format":"batched"}"#, "signing"),
            (r#"{"signing":"leafengines","format":"raw"}"#, "signing"),
            (
                r#"{"signing":"leafengines","compression":"gzip"}"#,
                "signing",
            ),
            (r#"{"signing":{"header":"authorization"}}"#, "signing"),
            (r#"{"auth":{"type":"digest"}}"#, "auth"),
            (r#"{"colour":"red"}"#, "subscription"),
        ] {
            let error = compile(json, &[]).unwrap_err();
            assert_eq!(error.message(), format!("invalid {option}"), "{json}");
            assert!(error.hint().is_some() && error.detail().is_some(), "{json}");
        }
    }

    #[test]
    fn no_header_is_written_by_two_options() {
        for (json, header) in [
            (r#"{"user_agent":"shop"}"#, "user-agent"),
            (r#"{"auth":{"type":"bearer","token":"t"}}"#, "Authorization"),
            (
                r#"{"auth":{"type":"api_key","header":"x-key","key":"k"}}"#,
                "X-Key",
            ),
            (r#"{"signing":"github"}"#, "X-Hub-Signature-256"),
            (r#"{"signing":"shopify"}"#, "x-shopify-topic"),
        ] {
            assert!(
                matches!(compile(json, &[(header, "x")]), Err(Error::Header { .. })),
                "{json}"
            );
            assert!(compile(json, &[]).is_ok(), "{json}");
        }
        let same = r#"{"signing":{"header":"x-key"},"auth":{"type":"api_key","header":"x-key","key":"k"}}"#;
        assert!(compile(same, &[]).is_err());
    }
}
