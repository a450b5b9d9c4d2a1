//! How a receiver behaves. A mode is plain data, so that it can be switched while requests are under way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::request::Request;

/// What happens to a request and its connection.
#[derive(Debug, Clone)]
pub enum Mode {
    Answer(Answer),
    /// A pause before the inner mode.
    Delayed(Duration, Box<Mode>),
    /// The first `fail` of every `of` requests get `failure`, the others a 200.
    Flaky {
        fail: u32,
        of: u32,
        counted: Counted,
        failure: Answer,
    },
    /// The answer comes a byte at a time, headers included.
    Trickle(Duration),
    /// The headers come at once, the body a byte at a time.
    TrickleBody(Duration),
    /// `head`, then `chunk` repeatedly until `bytes` bytes of it are written.
    Endless {
        head: Vec<u8>,
        chunk: Vec<u8>,
        bytes: u64,
    },
    /// Sends these bytes at this moment, HTTP or not, and then breaks the connection.
    Break {
        at: Moment,
        saying: Vec<u8>,
        how: Breakage,
    },
    /// The function decides; it may look at the request and its attempt number.
    Custom(CustomAnswer),
}

/// What "every `of` requests" counts.
#[derive(Debug, Clone)]
pub enum Counted {
    /// Each webhook-id separately, whatever its path: with `fail: 2, of: 3` the third attempt of each succeeds.
    PerId,
    /// All requests since this mode was made.
    Together(Arc<AtomicU64>),
}

/// When a connection breaks. Requests are recorded only in the last case: before, they are incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Before a byte is read, and so before a TLS handshake: the bytes are sent in the clear. In the mode of a single
    /// path, the same as `HeadRead`.
    Accepted,
    HeadRead,
    /// The request is recorded but no byte of an answer sent: to the sender, a lost response.
    RequestRead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// Silence until the other side gives up.
    Hang,
    Close,
    Reset,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Clone)]
pub struct CustomAnswer(Arc<dyn Fn(&Request) -> Answer + Send + Sync>);

impl Mode {
    pub fn ok() -> Self {
        Self::status(200)
    }

    pub fn status(status: u16) -> Self {
        Self::Answer(Answer::new(status))
    }

    /// Answers with this Retry-After header: seconds, an HTTP date, or any nonsense.
    pub fn retry_after(status: u16, after: &str) -> Self {
        Self::Answer(Answer::new(status).header("retry-after", after))
    }

    pub fn redirect(location: &str) -> Self {
        Self::Answer(Answer::new(302).header("location", location))
    }

    pub fn delayed(pause: Duration) -> Self {
        Self::Delayed(pause, Box::new(Self::ok()))
    }

    /// Answers the first `fail` of each `of` attempts of a webhook-id with a 500.
    pub fn flaky(fail: u32, of: u32) -> Self {
        Self::Flaky {
            fail,
            of,
            counted: Counted::PerId,
            failure: Answer::new(500),
        }
    }

    /// Answers the first `fail` of each `of` requests with a 500, whatever their webhook-id.
    pub fn flaky_together(fail: u32, of: u32) -> Self {
        Self::Flaky {
            fail,
            of,
            counted: Counted::Together(Arc::default()),
            failure: Answer::new(500),
        }
    }

    pub fn answer_with(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::Custom(CustomAnswer(Arc::new(answer)))
    }

    pub fn hang_on_accept() -> Self {
        Self::silent(Moment::Accepted, Breakage::Hang)
    }

    pub fn hang_before_answer() -> Self {
        Self::silent(Moment::RequestRead, Breakage::Hang)
    }

    /// Closes the connection without reading the request's body.
    pub fn close_early() -> Self {
        Self::silent(Moment::HeadRead, Breakage::Close)
    }

    pub fn lose_response() -> Self {
        Self::silent(Moment::RequestRead, Breakage::Close)
    }

    pub fn reset() -> Self {
        Self::silent(Moment::RequestRead, Breakage::Reset)
    }

    fn silent(at: Moment, how: Breakage) -> Self {
        Self::Break {
            at,
            saying: Vec::new(),
            how,
        }
    }

    /// Returns this mode's answer to a complete request, if it gives a proper one.
    pub(super) fn answer_to(&self, request: &Request) -> Option<Answer> {
        match self {
            Self::Answer(answer) => Some(answer.clone()),
            Self::Delayed(_, then) => then.answer_to(request),
            Self::Flaky {
                fail,
                of,
                counted,
                failure,
            } => {
                let number = counted.number(request) % u64::from((*of).max(1));
                Some(if number < u64::from(*fail) {
                    failure.clone()
                } else {
                    Answer::new(200)
                })
            }
            Self::Custom(CustomAnswer(answer)) => Some(answer(request)),
            Self::Trickle(_) | Self::TrickleBody(_) => {
                Some(Answer::new(200).body(vec![b'x'; 10_000]))
            }
            Self::Endless { .. } | Self::Break { .. } => None,
        }
    }
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} Trial\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Counted {
    fn number(&self, request: &Request) -> u64 {
        match self {
            Self::PerId => u64::from(request.attempt.saturating_sub(1)),
            Self::Together(seen) => seen.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for CustomAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomAnswer")
    }
}
