//! The outcome of one attempt, as plain data.
//!
//! The sender creates it, the retry policy decides on it, and recording stores it. A failed delivery is an outcome and
//! never an `Err`; nothing here may panic, regardless of what the receiver sent.

use std::time::Duration;

use http::HeaderMap;

use crate::error::Error;

/// Why an attempt failed, for statistics and alerts; the words beside it are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The host's name could not be resolved.
    Dns,
    /// No connection was established, or it broke.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The subscription's timeout passed.
    Timeout,
    /// The URL policy refused the address or port.
    Blocked,
    /// The receiver answered with a status that is not a success.
    Status,
    /// The receiver answered 429 Too Many Requests.
    RateLimited,
    /// The request was larger than `max_payload` and was not sent.
    TooLarge,
    /// The event could not become a request: the subscription's template failed, or a placeholder had no value.
    Template,
    /// Our own machinery failed.
    Internal,
    /// This server lacked a resource and sent nothing: see [`Outcome::is_own_shortage`].
    Shortage,
}

impl ErrorClass {
    /// Returns the text stored in `herald.attempt.error_class`.
    ///
    /// ```
    /// use herald_core::attempt::outcome::ErrorClass;
    ///
    /// assert_eq!(ErrorClass::RateLimited.as_str(), "rate_limited");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorClass::Dns => "dns",
            ErrorClass::Connect => "connect",
            ErrorClass::Tls => "tls",
            ErrorClass::Timeout => "timeout",
            ErrorClass::Blocked => "blocked",
            ErrorClass::Status => "status",
            ErrorClass::RateLimited => "rate_limited",
            ErrorClass::TooLarge => "too_large",
            ErrorClass::Template => "template",
            ErrorClass::Internal => "internal",
            ErrorClass::Shortage => "shortage",
        }
    }
}

/// The outcome of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The status of the response, if its head arrived.
    pub status: Option<u16>,
    /// The time from the start of the attempt to its end.
    pub duration: Duration,
    /// The failure, as a class and in words; `None` for a success.
    pub error: Option<(ErrorClass, String)>,
    /// The `Retry-After` header as received; [`retry`](crate::attempt::retry) reads it.
    pub retry_after: Option<String>,
    /// The beginning of the response's body, made safe by [`sanitise`].
    pub response: String,
    /// The request, if it is [kept](crate::request::HttpRequest::kept).
    pub request: Option<Box<str>>,
    /// All headers of the answer to an OPTIONS request, which may be a [consent](crate::request::handshake).
    pub consent_headers: Option<Box<HeaderMap>>,
}

impl Outcome {
    /// Creates the outcome of an answered attempt. `response` is the sanitised beginning of the body.
    ///
    /// ```
    /// use std::time::Duration;
    /// use herald_core::attempt::outcome::{ErrorClass, Outcome};
    ///
    /// let outcome = Outcome::answered(429, Duration::from_millis(8), Some("120".into()), String::new());
    /// assert_eq!(outcome.error, Some((ErrorClass::RateLimited, "status 429".into())));
    /// assert!(!outcome.is_success());
    /// ```
    pub fn answered(
        status: u16,
        duration: Duration,
        retry_after: Option<String>,
        response: String,
    ) -> Outcome {
        Outcome {
            status: Some(status),
            duration,
            error: fault_of(status, (200..=299).contains(&status)),
            retry_after,
            response,
            request: None,
            consent_headers: None,
        }
    }

    /// Judges the outcome by a subscription's own success statuses; `None` stands for 2xx.
    ///
    /// ```
    /// use std::time::Duration;
    /// use herald_core::attempt::outcome::Outcome;
    ///
    /// let outcome = Outcome::answered(409, Duration::ZERO, None, String::new());
    /// assert!(outcome.clone().judged_by(Some(&[200, 409])).is_success());
    /// assert!(!outcome.judged_by(None).is_success());
    /// ```
    #[must_use]
    pub fn judged_by(mut self, success: Option<&[u16]>) -> Outcome {
        if let (Some(status), Some(success)) = (self.status, success) {
            self.error = fault_of(status, success.contains(&status));
        }
        self
    }

    /// Creates the outcome of an unanswered attempt, with the reason in words.
    ///
    /// ```
    /// use std::time::Duration;
    /// use herald_core::attempt::outcome::{ErrorClass, Outcome};
    ///
    /// let outcome = Outcome::failed(ErrorClass::Tls, "TLS: certificate expired", Duration::from_millis(31));
    /// assert_eq!(outcome.status, None);
    /// ```
    pub fn failed(class: ErrorClass, words: impl Into<String>, duration: Duration) -> Outcome {
        Outcome {
            status: None,
            duration,
            error: Some((class, words.into())),
            retry_after: None,
            response: String::new(),
            request: None,
            consent_headers: None,
        }
    }

    /// Creates the outcome for a subscription in the state `sandbox`: the event counts as delivered, but was not sent.
    pub fn sandboxed(bytes: usize) -> Outcome {
        Outcome {
            status: None,
            duration: Duration::ZERO,
            error: None,
            retry_after: None,
            response: format!("sandbox: a request of {bytes} bytes was made and not sent"),
            request: None,
            consent_headers: None,
        }
    }

    /// Returns whether the receiver accepted the event: its status is 2xx, or a success of the subscription.
    ///
    /// Only the status counts. A response body that breaks off after a 2xx head changes nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use herald_core::attempt::outcome::Outcome;
    ///
    /// assert!(Outcome::answered(204, Duration::ZERO, None, String::new()).is_success());
    /// ```
    pub fn is_success(&self) -> bool {
        self.error.is_none()
    }

    /// Returns whether we refused the request for its size, so that a retry cannot help.
    ///
    /// A receiver's own 413 does not count, because its limit may be raised.
    ///
    /// ```
    /// use herald_core::{error::Error, attempt::outcome::Outcome};
    ///
    /// assert!(Outcome::from(Error::TooLarge { size: 2, limit: 1 }).is_too_large());
    /// ```
    pub fn is_too_large(&self) -> bool {
        self.status.is_none() && matches!(self.error, Some((ErrorClass::TooLarge, _)))
    }

    /// Returns whether the event can never become a request.
    pub fn is_unsendable(&self) -> bool {
        matches!(self.error, Some((ErrorClass::Template, _)))
    }

    /// Returns whether nothing was sent because this server lacked a resource, such as a file descriptor. This says
    /// nothing about the receiver, and does not count as an attempt.
    ///
    /// ```
    /// use std::time::Duration;
    /// use herald_core::attempt::outcome::{ErrorClass, Outcome};
    ///
    /// let outcome = Outcome::failed(ErrorClass::Shortage, "no file descriptor is free", Duration::ZERO);
    /// assert!(outcome.is_own_shortage());
    /// ```
    pub fn is_own_shortage(&self) -> bool {
        matches!(self.error, Some((ErrorClass::Shortage, _)))
    }
}

/// Returns what is wrong with a status.
fn fault_of(status: u16, is_success: bool) -> Option<(ErrorClass, String)> {
    let class = match status {
        _ if is_success => return None,
        429 => ErrorClass::RateLimited,
        _ => ErrorClass::Status,
    };
    Some((class, format!("status {status}")))
}

/// Turns a request that could not be built into an attempt that failed at once.
impl From<Error> for Outcome {
    fn from(error: Error) -> Outcome {
        let class = match error {
            Error::TooLarge { .. } => ErrorClass::TooLarge,
            Error::BlockedAddress { .. } | Error::BlockedPort { .. } => ErrorClass::Blocked,
            Error::Unsendable { .. } => ErrorClass::Template,
            _ => ErrorClass::Internal,
        };
        Outcome::failed(class, error.to_string(), Duration::ZERO)
    }
}

/// Converts bytes into at most `cap` bytes of text that PostgreSQL can store and a terminal can show.
///
/// Invalid UTF-8 and control characters become U+FFFD. Tabs, line ends and marks that reverse the direction of text
/// become blanks. Characters are never cut in half.
///
/// ```
/// use herald_core::attempt::outcome::sanitise;
///
/// assert_eq!(sanitise(b"bad\0 \xff\r\nrequest", 64), "bad\u{fffd} \u{fffd}  request");
/// assert_eq!(sanitise("naïve".as_bytes(), 3), "na");
/// ```
pub fn sanitise(bytes: &[u8], cap: usize) -> String {
    let mut text = String::with_capacity(cap.min(bytes.len()));
    // A replacement may be longer than the original, but no character is shorter than one byte, so nothing after the
    // first `cap` bytes can fit. Up to three more bytes complete the last character.
    let bytes = &bytes[..bytes.len().min(cap.saturating_add(3))];
    for character in String::from_utf8_lossy(bytes).chars() {
        let character = match character {
            '\t'
            | '\n'
            | '\r'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => ' ',
            control if control.is_control() => char::REPLACEMENT_CHARACTER,
            other => other,
        };
        if text.len() + character.len_utf8() > cap {
            break;
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_2xx_is_a_success() {
        for (status, expected) in [
            (199, false),
            (200, true),
            (204, true),
            (299, true),
            (300, false),
            (304, false),
            (500, false),
        ] {
            let outcome = Outcome::answered(status, Duration::ZERO, None, String::new());
            assert_eq!(outcome.is_success(), expected, "{status}");
            assert_eq!(outcome.error.is_none(), expected, "{status}");
        }
    }

    #[test]
    fn a_413_of_the_receiver_is_not_our_own_refusal() {
        assert!(!Outcome::answered(413, Duration::ZERO, None, String::new()).is_too_large());
        assert!(Outcome::from(Error::TooLarge { size: 2, limit: 1 }).is_too_large());
        assert!(!Outcome::from(Error::UnsignableId { id: "a.b".into() }).is_too_large());
    }

    proptest! {
        #[test]
        fn an_excerpt_is_always_safe_and_never_longer_than_its_cap(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), cap in 0usize..100,
        ) {
            let text = sanitise(&bytes, cap);
            prop_assert!(text.len() <= cap);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
