//! The style of a subscription's requests: everything except their target and the subscription's own headers.
//!
//! [`Style`] is the part of the options that each event needs, prepared once. Options that do not fit together are
//! refused here, at subscribe.

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::egress::url_policy::UrlPolicy;
use crate::error::Error;
use crate::request::format::{self, Format, Profile, Template};
use crate::request::handshake::Handshake;
use crate::signing::auth::Auth;
use crate::signing::scheme::Scheme;
use crate::subscription::headers::Headers;
use crate::subscription::options::SubscriptionOptions;
use crate::subscription::options::limits::choice;
use crate::subscription::secrets::NamedSecrets;
use crate::subscription::split::Sample;

/// The default `User-Agent` of requests.
pub const DEFAULT_USER_AGENT: &str = concat!("pg_herald/", env!("CARGO_PKG_VERSION"));
const MAX_USER_AGENT: usize = 256;

/// The prepared style of requests.
#[derive(Debug, Clone)]
pub struct Style {
    pub method: Method,
    pub format: Format,
    /// The media type of the body, if it is not the format's.
    pub content_type: Option<HeaderValue>,
    pub profile: Profile,
    pub shrink: bool,
    pub gzip: bool,
    pub user_agent: HeaderValue,
    pub auth: Option<Auth>,
    /// How many events each one stands for, if not for itself alone.
    pub sample: Option<Sample>,
    /// The consent that the receiver must give first.
    pub handshake: Option<Handshake>,
}

impl Style {
    /// Checks the options about requests together with the headers, and prepares them. Also returns the scheme of the
    /// signature, unless it is Standard Webhooks.
    pub fn compile(
        options: &SubscriptionOptions,
        headers: &Headers,
        secrets: &NamedSecrets,
        policy: &UrlPolicy,
    ) -> Result<(Style, Option<Scheme>), Error> {
        let content_type = options
            .content_type
            .as_deref()
            .map(content_type)
            .transpose()?;
        let format = format(options, content_type.as_ref(), secrets)?;
        let profile = profile(options, &format)?;
        let scheme = scheme(&options.signing)?;
        let gzip = choice(
            "compression",
            &options.compression,
            &[("none", false), ("gzip", true)],
        )?;
        if let Some(scheme) = &scheme {
            check_scheme(scheme, &format, gzip)?;
        }
        let auth = options
            .auth
            .as_ref()
            .map(|members| Auth::parse(members, policy));
        let style = Style {
            method: choice(
                "method",
                &options.method,
                &[
                    ("POST", Method::POST),
                    ("PUT", Method::PUT),
                    ("PATCH", Method::PATCH),
                ],
            )?,
            content_type: content_type.or_else(|| parsed_by_preset(&options.signing, &format)),
            format,
            profile,
            shrink: options.shrink,
            gzip,
            user_agent: user_agent(options.user_agent.as_deref())?,
            auth: auth.transpose()?,
            sample: options
                .sample
                .map(Sample::new)
                .transpose()?
                .filter(|sample| sample.one_in() > 1),
            handshake: options
                .handshake
                .as_ref()
                .map(|option| Handshake::parse(option, &options.request_origin, policy))
                .transpose()?,
        };
        style.check_headers(headers, scheme.as_ref(), options.user_agent.is_some())?;
        Ok((style, scheme))
    }

    /// Refuses a header that two options would write.
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

/// Parses the scheme of the signature; none for Standard Webhooks.
pub fn scheme(signing: &Value) -> Result<Option<Scheme>, Error> {
    match signing {
        Value::String(name) if name == "standard" => Ok(None),
        signing => Scheme::parse(signing).map(Some),
    }
}

/// Returns the media type that receivers of a preset parse: none of them knows those of CloudEvents.
fn parsed_by_preset(signing: &Value, format: &Format) -> Option<HeaderValue> {
    let is_preset = match signing {
        Value::String(name) => name != "standard",
        parts => parts.get("preset").is_some(),
    };
    let is_cloud_event = matches!(format, Format::Structured | Format::Batched);
    (is_preset && is_cloud_event).then(|| HeaderValue::from_static(format::JSON))
}

fn profile(options: &SubscriptionOptions, format: &Format) -> Result<Profile, Error> {
    let profile = choice(
        "profile",
        &options.profile,
        &[
            ("standard", Profile::Standard),
            ("minimal", Profile::Minimal),
            ("detailed", Profile::Detailed),
        ],
    )?;
    if !format.has_profiles() && (profile != Profile::Standard || options.shrink) {
        return Err(refused(
            if options.shrink { "shrink" } else { "profile" },
            "The format has nothing to leave out: it is what the data or the template makes.",
            "Use the format structured, binary, batched or envelope, or leave the option out.",
        ));
    }
    Ok(profile)
}

fn format(
    options: &SubscriptionOptions,
    content_type: Option<&HeaderValue>,
    secrets: &NamedSecrets,
) -> Result<Format, Error> {
    let name = options.format.as_str();
    if options.template.is_some() != (name == "template") {
        return Err(refused(
            "template",
            &format!("The format is {name:?}."),
            "Use format => 'template' and template => '...' together.",
        ));
    }
    if content_type.is_some() && !matches!(name, "structured" | "batched" | "raw" | "template") {
        return Err(refused(
            "content_type",
            &format!("It follows from the format, which is {name:?}."),
            "Leave it out, or use the format structured, batched, raw or template.",
        ));
    }
    match (name, &options.template) {
        ("template", Some(source)) => {
            Template::with_secrets(source, content_type.cloned(), secrets).map(Format::Template)
        }
        _ => choice(
            "format",
            name,
            &[
                ("structured", Format::Structured),
                ("binary", Format::Binary),
                ("batched", Format::Batched),
                ("envelope", Format::Envelope),
                ("data", Format::Data),
                ("raw", Format::Raw),
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

fn user_agent(text: Option<&str>) -> Result<HeaderValue, Error> {
    let Some(text) = text else {
        return Ok(HeaderValue::from_static(DEFAULT_USER_AGENT));
    };
    let is_visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| is_visible && text.trim() == text && (1..=MAX_USER_AGENT).contains(&text.len()))
        .ok_or_else(|| {
            refused(
                "user_agent",
                "It has to be 1 to 256 visible ASCII characters.",
                "Use user_agent => 'shop/1.0', or leave it out.",
            )
        })
}

/// Refuses a body that does not suit the scheme.
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
            "body_member needs a JSON object, and this format's body is not one.",
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
                "The value is not a media type.",
                "Use content_type => 'application/xml; charset=utf-8', for instance.",
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
        let options =
            SubscriptionOptions::new("shop", "https://example.com/").with_document(json)?;
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Style::compile(
            &options,
            &Headers::parse(&headers)?,
            &NamedSecrets::default(),
            &UrlPolicy::default(),
        )
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
        let null = r#"{"template":null,"signing":"standard","shrink":false,"auth":null}"#;
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
            (
                r#"{"format":"data","content_type":"text/plain"}"#,
                "content_type",
            ),
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
        ] {
            let error = compile(json, &[]).unwrap_err();
            assert_eq!(error.message(), format!("invalid {option}"), "{json}");
            assert!(error.hint().is_some() && error.detail().is_some(), "{json}");
        }
    }

    #[test]
    fn a_preset_brings_the_media_type_that_its_receivers_parse() {
        for (json, expected) in [
            ("{}", None),
            (r#"{"signing":"standard"}"#, None),
            (r#"{"signing":{"header":"x-a"}}"#, None),
            (r#"{"signing":"leafengines"}"#, Some("application/json")),
            (
                r#"{"signing":{"preset":"github"},"format":"batched"}"#,
                Some("application/json"),
            ),
            (r#"{"signing":"frame","format":"data"}"#, None),
            (
                r#"{"signing":"frame","content_type":"application/cloudevents+json"}"#,
                Some("application/cloudevents+json"),
            ),
            (r#"{"content_type":"text/plain"}"#, Some("text/plain")),
        ] {
            let (style, _) = compile(json, &[]).unwrap();
            let content_type = style.content_type.as_ref();
            assert_eq!(
                content_type.map(|value| value.to_str().unwrap()),
                expected,
                "{json}"
            );
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
