//! What went wrong with a request: the class for the policy, and one sentence for a DBA.
//!
//! The class says how far the request got: after `dns`, `connect`, `tls`, `blocked` and `shortage` the receiver has
//! certainly not seen it; after `timeout` it may have. The words name hosts and addresses, never a URL, a header or a
//! secret.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use herald_core::attempt::outcome::ErrorClass;
use rustls::{AlertDescription, CertificateError};
use ureq::Timeout;

/// A failure, as it travels through ureq (inside `ureq::Error::Other`) and out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) words: String,
    /// The connection had served before and was closed before a byte of this answer came, as idle connections usually
    /// are. The same request may be sent once more, at once, on a fresh connection.
    pub(crate) is_stale: bool,
}

impl Failure {
    pub(crate) fn new(class: ErrorClass, words: impl Into<String>) -> Self {
        Self {
            class,
            words: words.into(),
            is_stale: false,
        }
    }

    /// Marks a failure of a preliminary request.
    pub(crate) fn of(self, what: &str) -> Self {
        Self {
            words: format!("{what}: {}", self.words),
            ..self
        }
    }

    pub(crate) fn dns(words: impl fmt::Display) -> Self {
        Self::new(ErrorClass::Dns, format!("DNS: {words}"))
    }

    pub(crate) fn tls(words: impl fmt::Display) -> Self {
        Self::new(ErrorClass::Tls, format!("TLS: {words}"))
    }

    pub(crate) fn response(words: impl fmt::Display) -> Self {
        Self::new(ErrorClass::Connect, format!("response: {words}"))
    }

    pub(crate) fn internal(words: impl fmt::Display) -> Self {
        Self::new(ErrorClass::Internal, format!("internal: {words}"))
    }

    pub(crate) fn no_source_address_fits() -> Self {
        let words = "connect: the host has no address of the family of herald.source_address";
        Self::new(ErrorClass::Connect, words)
    }

    pub(crate) fn proxy(words: impl fmt::Display) -> Self {
        Self::new(ErrorClass::Connect, format!("proxy: {words}"))
    }

    /// The TCP connection to this address could not be made.
    pub(crate) fn connect(error: &io::Error, address: SocketAddr) -> Self {
        let words = match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer".into(),
            _ => io_words(error),
        };
        let class = if is_own_shortage(error) {
            ErrorClass::Shortage
        } else {
            ErrorClass::Connect
        };
        Self::new(class, format!("connect: {words} ({address})"))
    }

    /// The connection was made, but not the TLS session.
    pub(crate) fn handshake(error: &io::Error) -> Self {
        match (tls_error(error), error.kind()) {
            (Some(error), _) => Self::tls(tls_words(error)),
            (None, io::ErrorKind::TimedOut) => Self::tls("no answer to the handshake"),
            (None, io::ErrorKind::UnexpectedEof) => {
                Self::tls("connection closed during the handshake")
            }
            (None, _) => Self::tls(format_args!("{} during the handshake", io_words(error))),
        }
    }

    /// The connection failed after (part of) the request was sent and before a byte of the answer came.
    pub(crate) fn before_answer(error: &io::Error, is_reused: bool) -> Self {
        if let Some(error) = tls_error(error) {
            return Self::tls(tls_words(error));
        }
        let is_closed = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        );
        let words = match error.kind() {
            io::ErrorKind::UnexpectedEof => "connection closed before a status line".into(),
            _ => format!("{} before a status line", io_words(error)),
        };
        Self {
            is_stale: is_reused && is_closed,
            ..Self::response(words)
        }
    }

    /// Converts what ureq reports. `timeout` is the request's, only for the words.
    pub(crate) fn from_ureq(error: ureq::Error, timeout: Duration) -> Self {
        match error {
            ureq::Error::Other(inner) => match inner.downcast::<Self>() {
                Ok(failure) => *failure,
                Err(inner) => Self::internal(inner),
            },
            ureq::Error::Timeout(Timeout::Resolve) => Self::dns("no answer in time"),
            ureq::Error::Timeout(Timeout::Connect) => {
                Self::new(ErrorClass::Connect, "connect: no connection in time")
            }
            ureq::Error::Timeout(_) => Self::new(
                ErrorClass::Timeout,
                format!("timeout: no answer within {}", in_words(timeout)),
            ),
            ureq::Error::Io(error) => match tls_error(&error) {
                Some(error) => Self::tls(tls_words(error)),
                None => Self::response(format_args!(
                    "{} before the end of the header",
                    io_words(&error)
                )),
            },
            ureq::Error::Protocol(error) => {
                Self::response(format_args!("not valid HTTP/1.1 ({error})"))
            }
            ureq::Error::LargeResponseHeader(_, limit) => {
                Self::response(format_args!("header larger than {} KiB", limit / 1024))
            }
            ureq::Error::BadUri(_) => Self::internal("the URL is not valid"),
            ureq::Error::Http(error) => {
                Self::internal(format_args!("the request is not valid: {error}"))
            }
            other => Self::internal(other),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for ureq::Error {
    fn from(failure: Failure) -> Self {
        Self::Other(Box::new(failure))
    }
}

/// `30 s`, `250 ms`.
fn in_words(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// Whether this server itself is out of file descriptors.
fn is_own_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

pub(crate) fn io_words(error: &io::Error) -> String {
    if is_own_shortage(error) {
        return "no file descriptor is free on this server".into();
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".into(),
        io::ErrorKind::ConnectionAborted => "connection aborted".into(),
        io::ErrorKind::UnexpectedEof => "connection closed".into(),
        io::ErrorKind::HostUnreachable => "host unreachable".into(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".into(),
        io::ErrorKind::AddrNotAvailable => "address not available".into(),
        _ => error.to_string(),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

const NOTHING_IN_COMMON: &str = "no TLS version or cipher suite in common";

fn tls_words(error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => certificate_words(error),
        E::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => "the server wants a client certificate".into(),
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied => {
                format!("the server refused the client certificate ({alert:?})")
            }
            AlertDescription::ProtocolVersion => NOTHING_IN_COMMON.into(),
            AlertDescription::UnrecognisedName => "the server does not serve this host name".into(),
            _ => format!("the server refused the handshake ({alert:?})"),
        },
        E::PeerIncompatible(_) => NOTHING_IN_COMMON.into(),
        E::InvalidMessage(_) => "the server does not answer in TLS".into(),
        other => other.to_string(),
    }
}

fn certificate_words(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "certificate expired".into(),
        E::NotValidYet | E::NotValidYetContext { .. } => "certificate not yet valid".into(),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "certificate is for another host name".into()
        }
        E::UnknownIssuer => "unknown certificate authority".into(),
        E::Revoked => "certificate revoked".into(),
        E::BadSignature => "certificate has a bad signature".into(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "certificate is not for servers".into()
        }
        other => format!("certificate not acceptable: {other}"),
    }
}
