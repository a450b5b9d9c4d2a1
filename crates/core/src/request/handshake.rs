//! The handshake of CloudEvents webhooks ("Abuse Protection", HTTP 1.1 Web Hooks for Event Delivery, section 4): before
//! any delivery, an OPTIONS request asks the receiver whether, and at which rate, it wants deliveries.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::egress::url_policy::UrlPolicy;
use crate::error::Error;
use crate::suggest;

/// The system that asks for consent and, once it is granted, delivers.
pub const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const REQUEST_CALLBACK: HeaderName = HeaderName::from_static("webhook-request-callback");
const REQUEST_RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// The maximum rate to ask for or to grant, in deliveries per minute.
pub const MAX_RATE: u32 = 10_000_000;

/// The question to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    origin: HeaderValue,
    callback: Option<HeaderValue>,
    rate: Option<u32>,
}

/// A receiver's consent: to at most `rate` deliveries per minute, or any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    pub rate: Option<u32>,
}

impl Handshake {
    /// Parses the option `handshake`; `origin` is the setting `herald.request_origin`.
    ///
    /// ```
    /// use herald_core::{request::handshake::Handshake, egress::url_policy::UrlPolicy};
    ///
    /// let parse = |json, origin| Handshake::parse(&json, origin, &UrlPolicy::default());
    /// assert!(parse(serde_json::json!({"rate": 120}), "db.example.com").is_ok());
    /// assert_eq!(
    ///     parse(serde_json::json!({}), "").unwrap_err().hint().unwrap(),
    ///     "Let a superuser set herald.request_origin to the DNS name that receivers know this system by."
    /// );
    /// ```
    pub fn parse(option: &Value, origin: &str, policy: &UrlPolicy) -> Result<Handshake, Error> {
        let Some(members) = option.as_object() else {
            return Err(refused(
                "The handshake is not an object.".into(),
                "Use handshake => '{}', or '{\"rate\": 120}' to ask for 120 deliveries a minute.",
            ));
        };
        if let Some(unknown) = members
            .keys()
            .find(|name| !["rate", "callback"].contains(&name.as_str()))
        {
            let hint = match suggest::nearest(unknown, ["rate", "callback"]) {
                Some(nearest) => format!("Perhaps you meant \"{nearest}\"."),
                None => "Its members are rate and callback.".into(),
            };
            return Err(refused(format!("It has no member {unknown:?}."), &hint));
        }
        if origin.is_empty() {
            return Err(refused(
                "herald.request_origin is not set.".into(),
                "Let a superuser set herald.request_origin to the DNS name that receivers know this system by.",
            ));
        }
        let rate = match members.get("rate") {
            None => None,
            Some(rate) => Some(
                rate.as_u64()
                    .and_then(|rate| u32::try_from(rate).ok())
                    .filter(|rate| (1..=MAX_RATE).contains(rate))
                    .ok_or_else(|| {
                        refused(
                            format!("Its rate is {rate}; allowed is 1 to {MAX_RATE} a minute."),
                            "Leave rate out to ask for none in particular.",
                        )
                    })?,
            ),
        };
        let callback = match members.get("callback") {
            None => None,
            Some(callback) => {
                let url = policy.check_url(callback.as_str().unwrap_or_default())?;
                Some(value(url.as_str())?)
            }
        };
        Ok(Handshake {
            origin: value(origin)?,
            callback,
            rate,
        })
    }

    /// Returns the header that each delivery carries.
    pub fn header(&self) -> (HeaderName, HeaderValue) {
        (REQUEST_ORIGIN, self.origin.clone())
    }

    /// Returns the headers that ask for consent.
    pub(crate) fn question(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![self.header()];
        if let Some(callback) = &self.callback {
            let mut callback = callback.clone();
            callback.set_sensitive(true);
            headers.push((REQUEST_CALLBACK, callback));
        }
        if let Some(rate) = self.rate {
            headers.push((REQUEST_RATE, HeaderValue::from(rate)));
        }
        headers
    }

    /// Reads a receiver's answer; the error says in words why it is not a consent.
    ///
    /// ```
    /// use herald_core::{request::handshake::{Consent, Handshake}, egress::url_policy::UrlPolicy};
    /// use http::HeaderMap;
    ///
    /// let asked = Handshake::parse(&serde_json::json!({"rate": 120}), "db.example.com", &UrlPolicy::default()).unwrap();
    /// let mut answer = HeaderMap::new();
    /// assert!(asked.consent(&answer).is_err());
    /// answer.insert("webhook-allowed-origin", "db.example.com".parse().unwrap());
    /// answer.insert("webhook-allowed-rate", "100".parse().unwrap());
    /// assert_eq!(asked.consent(&answer), Ok(Consent { rate: Some(100) }));
    /// ```
    pub fn consent(&self, answer: &HeaderMap) -> Result<Consent, String> {
        let text = |name: &HeaderName| {
            answer
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        let own = self.origin.to_str().unwrap_or_default();
        match text(&ALLOWED_ORIGIN) {
            None => return Err("its answer has no WebHook-Allowed-Origin".into()),
            Some("*") => {}
            Some(allowed) if allowed.eq_ignore_ascii_case(own) => {}
            Some(_) => return Err("its WebHook-Allowed-Origin is another".into()),
        }
        match text(&ALLOWED_RATE) {
            Some("*") => Ok(Consent { rate: None }),
            Some(rate) => match rate.parse::<u32>() {
                Ok(rate) if rate > 0 => Ok(Consent {
                    rate: Some(rate.min(MAX_RATE)),
                }),
                _ => {
                    Err("its WebHook-Allowed-Rate is not a number of deliveries per minute".into())
                }
            },
            None if self.rate.is_some() => Err("its answer has no WebHook-Allowed-Rate".into()),
            None => Ok(Consent { rate: None }),
        }
    }
}

fn value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text)
        .ok()
        .filter(|value| value.to_str().is_ok_and(|text| !text.contains(' ')))
        .ok_or_else(|| {
            refused(
                "A header cannot carry it.".into(),
                "Use visible ASCII characters in herald.request_origin and callback.",
            )
        })
}

fn refused(fault: String, hint: &str) -> Error {
    Error::Option {
        option: "handshake",
        fault,
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(option: Value) -> Result<Handshake, Error> {
        Handshake::parse(&option, "db.example.com", &UrlPolicy::default())
    }

    #[test]
    fn only_the_headers_say_yes() {
        let answer = |origin: Option<&str>, rate: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(ALLOWED_ORIGIN, origin), (ALLOWED_RATE, rate)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            headers
        };
        let (any, limited) = (
            asked(json!({})).unwrap(),
            asked(json!({"rate": 5})).unwrap(),
        );
        let yes = |rate| Ok(Consent { rate });
        assert_eq!(any.consent(&answer(Some("*"), None)), yes(None));
        assert_eq!(
            any.consent(&answer(Some("DB.example.com"), Some("*"))),
            yes(None)
        );
        assert_eq!(
            limited.consent(&answer(Some("db.example.com"), Some("7"))),
            yes(Some(7))
        );
        for (origin, rate) in [
            (None, Some("*")),
            (Some("other.example.com"), Some("*")),
            (Some("*"), None),
            (Some("*"), Some("0")),
            (Some("*"), Some("-1")),
            (Some("*"), Some("many")),
        ] {
            assert!(
                limited.consent(&answer(origin, rate)).is_err(),
                "{origin:?} {rate:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for option in [
            json!(true),
            json!({"rat": 1}),
            json!({"rate": 0}),
            json!({"rate": "5"}),
            json!({"callback": "ftp://example.com"}),
            json!({"callback": 1}),
        ] {
            assert!(
                asked(option.clone()).unwrap_err().hint().is_some(),
                "{option}"
            );
        }
        assert!(Handshake::parse(&json!({}), "a b", &UrlPolicy::default()).is_err());
    }
}
