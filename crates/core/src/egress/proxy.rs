//! The proxy that requests go through if the database server has no direct way out.
//!
//! It is asked for a tunnel (`CONNECT`, RFC 9110, section 9.3.6) even for `http` URLs, so that one way serves both, and
//! the receiver's certificate is verified through it. The proxy looks up names, so it must judge their addresses: the
//! URL policy checks only the text of the URL.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::Error;

/// The maximum size of the proxy's answer, in bytes.
pub const MAX_ANSWER: usize = 16 * 1024;

/// The proxy's address, and our credentials for it. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    pub port: u16,
    authorization: Option<String>,
}

impl Proxy {
    /// Parses the setting `herald.proxy`; an empty one means no proxy.
    ///
    /// ```
    /// use herald_core::egress::proxy::Proxy;
    ///
    /// let proxy = Proxy::parse("http://user:pass@proxy.internal:3128").unwrap().unwrap();
    /// assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.internal", 3128));
    /// assert_eq!(
    ///     proxy.connect_request("example.com", 443),
    ///     "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
    /// );
    /// assert_eq!(Proxy::parse(""), Ok(None));
    /// ```
    pub fn parse(text: &str) -> Result<Option<Proxy>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        let refused = |fault: &str| Error::Setting {
            name: "herald.proxy",
            // The value may contain a password.
            value: "***".into(),
            fault: fault.into(),
            hint: "Use http://host:port, or http://user:password@host:port.".into(),
        };
        let url = Url::parse(text).map_err(|_| refused("It is not a URL."))?;
        if url.scheme() != "http" {
            return Err(refused("Its scheme is not http."));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refused("It has a path, a query or a fragment."));
        }
        let host = url.host_str().ok_or_else(|| refused("It has no host."))?;
        let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let user = percent_decode_str(url.username());
            let password = percent_decode_str(url.password().unwrap_or_default());
            let both: Vec<u8> = user.chain(std::iter::once(b':')).chain(password).collect();
            STANDARD.encode(both)
        });
        Ok(Some(Proxy {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(80),
            authorization,
        }))
    }

    /// Returns the request for a tunnel to this host, whose name comes from a parsed URL (an IPv6 address in brackets).
    pub fn connect_request(&self, host: &str, port: u16) -> String {
        let authorization = self
            .authorization
            .iter()
            .map(|basic| format!("Proxy-Authorization: Basic {basic}\r\n"))
            .collect::<String>();
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n")
    }
}

/// Checks whether the proxy opened the tunnel, by its answer up to the empty line. The error is in words.
///
/// ```
/// use herald_core::egress::proxy::check_answer;
///
/// assert_eq!(check_answer(b"HTTP/1.1 200 Connection established\r\n\r\n"), Ok(()));
/// assert_eq!(
///     check_answer(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
///     Err("answered 407: it wants a user and a password".to_owned())
/// );
/// ```
pub fn check_answer(head: &[u8]) -> Result<(), String> {
    let status: Option<u16> =
        std::str::from_utf8(head.split(|byte| *byte == b'\r').next().unwrap_or(head))
            .ok()
            .filter(|line| line.starts_with("HTTP/1."))
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(407) => Err("answered 407: it wants a user and a password".to_owned()),
        Some(403) => Err("answered 403: it does not allow this host".to_owned()),
        Some(status) => Err(format!("answered {status}")),
        None => Err("did not answer in HTTP".to_owned()),
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_proxy_is_refused_and_its_password_never_shown() {
        for text in [
            "proxy:3128",
            "https://user:canary@proxy",
            "socks5://proxy",
            "http://",
            "http://user:canary@proxy/path",
            "http://proxy/?q",
            "http://proxy/#f",
        ] {
            let error = Proxy::parse(text).unwrap_err();
            let words = format!(
                "{} {:?} {:?}",
                error.message(),
                error.detail(),
                error.hint()
            );
            assert!(!words.contains("canary"), "{words}");
        }
    }

    #[test]
    fn the_password_is_decoded_once_and_stays_out_of_debug() {
        let proxy = Proxy::parse("http://a%40b:p%3aw%zz@[::1]:8080")
            .unwrap()
            .unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("::1", 8080));
        let basic = proxy.authorization.clone().unwrap();
        assert_eq!(STANDARD.decode(&basic).unwrap(), b"a@b:p:w%zz");
        assert!(!format!("{proxy:?}").contains(&basic));
    }

    #[test]
    fn an_answer_that_is_not_http_or_not_2xx_opens_nothing() {
        for head in [
            "",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            assert_eq!(
                check_answer(head.as_bytes()),
                Err("did not answer in HTTP".to_owned()),
                "{head}"
            );
        }
        assert_eq!(
            check_answer(b"HTTP/1.0 503 x\r\n\r\n"),
            Err("answered 503".to_owned())
        );
    }
}
