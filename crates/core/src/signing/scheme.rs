//! HMAC signature schemes other than Standard Webhooks: what is signed, and how the signature is written.
//!
//! An existing receiver has its own scheme. A subscription gives the scheme's parts, or the name of a preset. The
//! sender signs with it ([`signing`](crate::signing)), and `herald.verify` checks with it
//! ([`verify`](crate::signing::verify)). It knows keys only as something that signs.

mod presets;

use chrono::{DateTime, SecondsFormat};
use http::HeaderName;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::request::placeholders::Pattern;
use crate::signing::canonical::{Canonical, Form, LargeNumbers};
use crate::subscription::headers;
use crate::suggest;
use presets::PRESETS;

const PARTS: [&str; 15] = [
    "algorithm",
    "body_member",
    "canonical",
    "content",
    "encoding",
    "header",
    "id_header",
    "key",
    "large_numbers",
    "lead",
    "prefix",
    "preset",
    "separator",
    "timestamp_format",
    "timestamp_header",
];
const TYPE_HEADER: &str = "type_header";
/// The maximum size of each part, in bytes.
pub const MAX_PART_BYTES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

/// The part of the secret that is the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// All its bytes.
    Text,
    /// The bytes that `whsec_...` encodes.
    Whsec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    UnixSeconds,
    UnixMillis,
    Rfc3339,
}

impl TimestampFormat {
    pub fn write(self, unix_seconds: i64) -> String {
        match self {
            TimestampFormat::UnixSeconds => unix_seconds.to_string(),
            TimestampFormat::UnixMillis => unix_seconds.saturating_mul(1000).to_string(),
            TimestampFormat::Rfc3339 => DateTime::from_timestamp(unix_seconds, 0)
                .unwrap_or_default()
                .to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }

    /// Returns the time in seconds since 1970, or none if another receiver might read another time.
    pub fn read(self, text: &str) -> Option<i64> {
        let number = || {
            let number: i64 = text.parse().ok()?;
            (number.to_string() == text).then_some(number)
        };
        match self {
            TimestampFormat::UnixSeconds => number(),
            TimestampFormat::UnixMillis => Some(number()?.div_euclid(1000)),
            TimestampFormat::Rfc3339 => Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp()),
        }
    }
}

/// How to compute an HMAC over a request, and where to put it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheme {
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    pub key: KeyForm,
    /// The header with the signature: `lead`, then for each secret `prefix` and its signature, joined by `separator`.
    /// Without a separator, only the current secret signs.
    pub header: HeaderName,
    pub lead: Pattern,
    pub prefix: String,
    pub separator: Option<String>,
    /// The text to sign, with `{id}`, `{timestamp}` and `{body}` in it.
    pub content: Pattern,
    pub timestamp_header: Option<HeaderName>,
    pub timestamp_format: TimestampFormat,
    pub id_header: Option<HeaderName>,
    pub type_header: Option<HeaderName>,
    /// The member of the body that repeats the signature, computed over the body without it.
    pub body_member: Option<String>,
    /// The form into which the body is brought, as its receiver does before it checks.
    pub canonical: Option<Canonical>,
}

impl Scheme {
    /// Parses the name of a preset, or an object of parts that may start from a preset.
    ///
    /// ```
    /// use herald_core::signing::scheme::Scheme;
    ///
    /// assert!(Scheme::parse(&serde_json::json!("github")).is_ok());
    /// let own = serde_json::json!({"header": "x-signature", "content": "{id}.{body}", "id_header": "x-id"});
    /// assert!(Scheme::parse(&own).is_ok());
    /// let error = Scheme::parse(&serde_json::json!({"header": "x-signature", "encodign": "hex"})).unwrap_err();
    /// assert_eq!(error.detail().unwrap(), "It has no member \"encodign\".");
    /// assert_eq!(error.hint().unwrap(), "Perhaps you meant \"encoding\".");
    /// ```
    pub fn parse(signing: &Value) -> Result<Scheme, Error> {
        let own = match signing {
            Value::String(preset) => Map::from_iter([("preset".into(), preset.as_str().into())]),
            Value::Object(own) => own.clone(),
            _ => {
                return Err(refused(
                    "It is neither a name nor an object.",
                    "Use signing => '\"github\"', or signing => '{\"header\": \"x-signature\"}'.",
                ));
            }
        };
        let mut parts = match own.get("preset") {
            Some(preset) => preset_parts(preset)?,
            None => Map::new(),
        };
        parts.extend(own);
        Parts(parts).scheme()
    }

    /// Returns the headers that the scheme writes.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.header)
            .chain(&self.timestamp_header)
            .chain(&self.id_header)
            .chain(&self.type_header)
    }

    /// Returns whether the signed content contains the time.
    pub fn is_timed(&self) -> bool {
        self.signs("timestamp")
    }

    /// Returns whether the signed content contains `id`, `timestamp` or `body`.
    pub fn signs(&self, name: &str) -> bool {
        self.content.names().any(|used| used == name)
    }

    /// Returns the bytes to sign.
    pub fn signed_content(&self, id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
        let mut signed = Vec::with_capacity(body.len() + id.len() + timestamp.len() + 8);
        for piece in self.content.pieces() {
            match piece {
                Err(text) => signed.extend_from_slice(text.as_bytes()),
                Ok("id") => signed.extend_from_slice(id.as_bytes()),
                Ok("timestamp") => signed.extend_from_slice(timestamp.as_bytes()),
                Ok(_) => signed.extend_from_slice(body),
            }
        }
        signed
    }

    /// Returns the text before the signatures.
    pub fn lead(&self, timestamp: &str) -> String {
        let filled = self
            .lead
            .fill(|_| Ok::<_, std::convert::Infallible>(timestamp.to_owned()));
        let Ok(lead) = filled;
        lead
    }
}

fn preset_parts(preset: &Value) -> Result<Map<String, Value>, Error> {
    let name = preset.as_str().unwrap_or_default();
    let found = PRESETS.iter().find(|(known, _)| *known == name);
    let Some((_, parts)) = found else {
        let names = || PRESETS.iter().map(|(known, _)| *known);
        let all: Vec<_> = std::iter::once("standard").chain(names()).collect();
        return Err(refused(
            &format!("Preset {preset} does not exist."),
            &match suggest::nearest(name, all.iter().copied()) {
                Some(nearest) => format!("Perhaps you meant \"{nearest}\"."),
                None => format!("The presets are {}.", all.join(", ")),
            },
        ));
    };
    Ok(serde_json::from_str(parts).expect("the presets are objects"))
}

struct Parts(Map<String, Value>);

impl Parts {
    fn scheme(self) -> Result<Scheme, Error> {
        self.check_members()?;
        let scheme = Scheme {
            algorithm: self.choice(
                "algorithm",
                &[("sha256", Algorithm::Sha256), ("sha512", Algorithm::Sha512)],
            )?,
            encoding: self.choice(
                "encoding",
                &[("hex", Encoding::Hex), ("base64", Encoding::Base64)],
            )?,
            key: self.choice("key", &[("text", KeyForm::Text), ("whsec", KeyForm::Whsec)])?,
            header: self.header("header")?.ok_or_else(|| {
                refused(
                    "It has no header for the signature.",
                    "Use signing => '{\"header\": \"x-signature\"}', or a preset.",
                )
            })?,
            lead: self.placeholders(
                "lead",
                self.in_header("lead")?.unwrap_or_default(),
                &["timestamp"],
            )?,
            prefix: self.in_header("prefix")?.unwrap_or_default().to_owned(),
            separator: self.in_header("separator")?.map(str::to_owned),
            // The content is in no header, so any character is allowed.
            content: self.placeholders(
                "content",
                self.text("content").unwrap_or("{body}"),
                &["id", "timestamp", "body"],
            )?,
            timestamp_header: self.header("timestamp_header")?,
            timestamp_format: self.choice(
                "timestamp_format",
                &[
                    ("unix", TimestampFormat::UnixSeconds),
                    ("unix_ms", TimestampFormat::UnixMillis),
                    ("rfc3339", TimestampFormat::Rfc3339),
                ],
            )?,
            id_header: self.header("id_header")?,
            type_header: self.header(TYPE_HEADER)?,
            body_member: self.text("body_member").map(str::to_owned),
            canonical: self.canonical()?,
        };
        check_content(&scheme)?;
        check_signature_header(&scheme)?;
        check_places(&scheme)?;
        Ok(scheme)
    }

    /// Refuses unknown members, and values that are not short strings.
    fn check_members(&self) -> Result<(), Error> {
        let known = || PARTS.into_iter().chain([TYPE_HEADER]);
        for (name, value) in &self.0 {
            if !known().any(|part| part == name) {
                return Err(refused(
                    &format!("It has no member {name:?}."),
                    &match suggest::nearest(name, known()) {
                        Some(nearest) => format!("Perhaps you meant \"{nearest}\"."),
                        None => format!(
                            "Its members are {}.",
                            known().collect::<Vec<_>>().join(", ")
                        ),
                    },
                ));
            }
            let Some(text) = value.as_str() else {
                return Err(refused(
                    &format!("Its member {name:?} is not a string."),
                    "Write each member as a string.",
                ));
            };
            if text.len() > MAX_PART_BYTES {
                return Err(refused(
                    &format!(
                        "Its member {name:?} has {} bytes; allowed are {MAX_PART_BYTES}.",
                        text.len()
                    ),
                    "Use a shorter one.",
                ));
            }
        }
        Ok(())
    }

    fn canonical(&self) -> Result<Option<Canonical>, Error> {
        if self.text("canonical").is_none() {
            return match self.text("large_numbers") {
                None => Ok(None),
                Some(_) => Err(refused(
                    "Its large_numbers say nothing without a canonical form.",
                    "Leave it out, or add canonical => \"ecmascript\".",
                )),
            };
        }
        let form = self.choice(
            "canonical",
            &[("ecmascript", Form::EcmaScript), ("python", Form::Python)],
        )?;
        let large_numbers = self.choice(
            "large_numbers",
            &[
                ("refuse", LargeNumbers::Refuse),
                ("strings", LargeNumbers::Strings),
            ],
        )?;
        Ok(Some(Canonical {
            form,
            large_numbers,
        }))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, Error> {
        let names = || {
            choices
                .iter()
                .map(|(choice, _)| *choice)
                .collect::<Vec<_>>()
        };
        let wanted = self.text(name).unwrap_or_else(|| names()[0]);
        let found = choices.iter().find(|(choice, _)| *choice == wanted);
        found.map(|(_, value)| *value).ok_or_else(|| {
            refused(
                &format!("Its {name} is {wanted:?}."),
                &format!("Use one of {}.", names().join(", ")),
            )
        })
    }

    fn header(&self, name: &str) -> Result<Option<HeaderName>, Error> {
        self.text(name).map(headers::parse_name).transpose()
    }

    /// Returns a part of the header with the signature.
    fn in_header(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.text(name) {
            Some(text) if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Err(refused(
                &format!("Its {name} cannot stand in a header."),
                "Use visible ASCII characters and blanks.",
            )),
            text => Ok(text),
        }
    }

    fn placeholders(&self, name: &str, text: &str, allowed: &[&str]) -> Result<Pattern, Error> {
        let pattern = Pattern::parse(text);
        match pattern.names().find(|used| !allowed.contains(used)) {
            None => Ok(pattern.clone()),
            Some(unknown) => Err(refused(
                &format!("Its {name} has the placeholder {{{unknown}}}."),
                &format!("There it may have {{{}}}.", allowed.join("}, {")),
            )),
        }
    }
}

/// Refuses a content that does not protect the body, or that a receiver could not rebuild.
fn check_content(scheme: &Scheme) -> Result<(), Error> {
    let hint = "Use content => \"{timestamp}.{body}\", or leave it out for {body}.";
    match scheme
        .content
        .names()
        .filter(|name| *name == "body")
        .count()
    {
        0 => {
            return Err(refused(
                "The content lacks {body}, so anybody could replace the body.",
                hint,
            ));
        }
        1 => {}
        _ => return Err(refused("Its content has {body} more than once.", hint)),
    }
    let signs = |name: &str| scheme.signs(name);
    let is_time_sent = scheme.timestamp_header.is_some() || scheme.lead.has_placeholders();
    if signs("timestamp") && !is_time_sent {
        return Err(refused(
            "It signs {timestamp}, which no header tells the receiver.",
            "Add a timestamp_header.",
        ));
    }
    if signs("id") && scheme.id_header.is_none() {
        return Err(refused(
            "It signs {id}, which no header of it tells the receiver.",
            "Add an id_header.",
        ));
    }
    Ok(())
}

/// Refuses a header in which the signatures could not be found.
fn check_signature_header(scheme: &Scheme) -> Result<(), Error> {
    let last = scheme.lead.pieces().last();
    if last.is_some_and(|piece| piece.is_ok()) {
        return Err(refused(
            "Its lead ends with the time, so that nobody can say where the signature begins.",
            "Let a comma or a blank follow: lead => \"t={timestamp},\".",
        ));
    }
    let is_signature_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    if let Some(separator) = &scheme.separator
        && (separator.is_empty()
            || separator.bytes().all(is_signature_byte)
            || scheme.prefix.contains(separator.as_str()))
    {
        return Err(refused(
            "Its separator cannot be told from a signature.",
            "Use separator => \",\" or a blank, which the prefix has not.",
        ));
    }
    Ok(())
}

/// Refuses a header that would be written twice, and a member without a name.
fn check_places(scheme: &Scheme) -> Result<(), Error> {
    let names: Vec<_> = scheme.headers().collect();
    if let Some(twice) = names
        .iter()
        .enumerate()
        .find_map(|(at, name)| names[..at].contains(name).then_some(name))
    {
        return Err(refused(
            &format!("It uses the header {:?} for two things.", twice.as_str()),
            "Give each its own header.",
        ));
    }
    if scheme.body_member.as_deref() == Some("") {
        return Err(refused(
            "Its body_member is empty.",
            "Leave it out, or use body_member => \"signature\".",
        ));
    }
    Ok(())
}

fn refused(fault: &str, hint: &str) -> Error {
    Error::Option {
        option: "signing",
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests;
