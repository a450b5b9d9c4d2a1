//! One request as received, and how it is read from a connection.

use std::io::{self, BufRead, Read, Write};

/// More than any sender should need; beyond it, the connection is ended as hostile.
const MAX_HEAD: u64 = 256 * 1024;
const MAX_HEADERS: usize = 256;

/// A complete request, with everything received before a byte of the answer was sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// When the last byte was read, in microseconds since 1970.
    pub at_micros: i64,
    pub method: String,
    /// Includes the query string.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub webhook_id: Option<String>,
    /// 1 for the first request with this webhook-id; 0 without one.
    pub attempt: u32,
    pub signature: Signature,
    /// Whether the receiver decided to answer with a 2xx. The answer may still be lost on its way.
    pub accepted: bool,
}

/// What a third-party Standard Webhooks library says of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// The receiver has no secret.
    Unchecked,
    Valid,
    Invalid(String),
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON, or null if it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) keeps_alive: bool,
}

impl Head {
    /// Returns none if the connection ended before a request began.
    pub(super) fn read(connection: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let mut limited = connection.take(MAX_HEAD);
        loop {
            let line_start = bytes.len();
            if limited.read_until(b'\n', &mut bytes)? == 0 {
                return if bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            let line = &bytes[line_start..];
            if line_start > 0 && (line == b"\r\n" || line == b"\n") {
                return Self::parse(&bytes).map(Some);
            }
        }
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let status = parsed.parse(bytes).map_err(io::Error::other)?;
        let (true, Some(method), Some(path), Some(version)) = (
            status.is_complete(),
            parsed.method,
            parsed.path,
            parsed.version,
        ) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let headers: Vec<(String, String)> = parsed
            .headers
            .iter()
            .map(|header| {
                (
                    header.name.to_owned(),
                    String::from_utf8_lossy(header.value).into_owned(),
                )
            })
            .collect();
        let asked = header(&headers, "connection")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let keeps_alive = if version == 0 {
            asked == "keep-alive"
        } else {
            asked != "close"
        };
        Ok(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            keeps_alive,
            headers,
        })
    }

    pub(super) fn expects_continue(&self) -> bool {
        header(&self.headers, "expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    pub(super) fn read_body(&self, connection: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let encoding = header(&self.headers, "transfer-encoding").unwrap_or_default();
        if encoding.to_ascii_lowercase().contains("chunked") {
            return read_chunks(connection);
        }
        let length = header(&self.headers, "content-length")
            .map_or(Ok(0), str::parse)
            .map_err(io::Error::other)?;
        read_exactly(connection, length)
    }
}

pub(super) fn header<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.as_str())
}

fn read_chunks(connection: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(connection)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        match u64::from_str_radix(size, 16).map_err(io::Error::other)? {
            0 => break,
            size => body.write_all(&read_exactly(connection, size)?)?,
        }
        read_line(connection)?;
    }
    while !read_line(connection)?.trim().is_empty() {}
    Ok(body)
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match connection.take(MAX_HEAD).read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

fn read_exactly(connection: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = connection.take(length).read_to_end(&mut bytes)?;
    if read as u64 == length {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Option<(Head, Vec<u8>)>> {
        let mut connection = bytes;
        let Some(head) = Head::read(&mut connection)? else {
            return Ok(None);
        };
        let body = head.read_body(&mut connection)?;
        Ok(Some((head, body)))
    }

    #[test]
    fn bodies_come_by_length_and_in_chunks() {
        let (head, body) = read(b"POST /a?b=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
            .unwrap()
            .unwrap();
        assert_eq!(
            (head.path.as_str(), body.as_slice(), head.keeps_alive),
            ("/a?b=1", b"abc".as_slice(), true)
        );
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n";
        assert_eq!(read(chunked).unwrap().unwrap().1, b"abc");
    }

    #[test]
    fn a_connection_that_ends_within_a_request_yields_none() {
        assert!(read(b"").unwrap().is_none());
        for torn in [
            "POST / HT",
            "POST / HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab",
        ] {
            assert!(read(torn.as_bytes()).is_err(), "{torn:?} is not a request");
        }
    }
}
