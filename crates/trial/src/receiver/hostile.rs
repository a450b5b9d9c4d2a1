//! Malformed answers: torn, endless, compressed beyond reason, or not HTTP at all.

use super::mode::{Answer, Breakage, Mode, Moment};

const TORN_ANSWER: [u8; 67] =
    *b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\n";

impl Mode {
    /// Sends these bytes instead of an answer, then closes the connection.
    pub fn raw(saying: impl Into<Vec<u8>>) -> Self {
        Self::Break {
            at: Moment::RequestRead,
            saying: saying.into(),
            how: Breakage::Close,
        }
    }

    /// Sends the same bytes at the same moment, but ends the connection differently.
    pub fn then(self, how: Breakage) -> Self {
        match self {
            Self::Break { at, saying, .. } => Self::Break { at, saying, how },
            whole => whole,
        }
    }

    pub fn garbage() -> Self {
        let bytes = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8);
        Self::raw(bytes.collect::<Vec<u8>>())
    }

    /// Sends a body without status line and headers, as in HTTP/0.9.
    pub fn bare_body() -> Self {
        Self::raw(*b"<html>it works</html>\n")
    }

    pub fn nul_bytes() -> Self {
        Self::Answer(Answer::new(200).body(b"o\0k\0\xff\xfe".to_vec()))
    }

    /// Sends a content-length that the body does not reach.
    pub fn short_body() -> Self {
        Self::raw(*b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ntoo short")
    }

    pub fn huge_body(bytes: u64) -> Self {
        Self::Endless {
            head: b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(),
            chunk: vec![b'x'; 1 << 16],
            bytes,
        }
    }

    /// Sends an unfinished but valid gzip stream of zeros: each 13 bytes hold 2,064 of them.
    pub fn gzip_bomb() -> Self {
        const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        // A block of fixed codes: a zero, then "258 bytes from one byte back" (13 bits) again and again.
        const FIRST_ZEROS: [u8; 3] = [0x62, 0x18, 0x05];
        const ZEROS: [u8; 13] = [
            0xa3, 0x60, 0x14, 0x8c, 0x82, 0x51, 0x30, 0x0a, 0x46, 0xc1, 0x28, 0x18, 0x05,
        ];
        let mut head =
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n".to_vec();
        head.extend(GZIP_HEADER);
        head.extend(FIRST_ZEROS);
        Self::Endless {
            head,
            chunk: ZEROS.repeat(5_000),
            bytes: u64::MAX,
        }
    }

    pub fn endless_headers() -> Self {
        Self::Endless {
            head: b"HTTP/1.1 200 OK\r\n".to_vec(),
            chunk: b"x-again: and again\r\n".repeat(200),
            bytes: u64::MAX,
        }
    }

    pub fn endless_header_line() -> Self {
        Self::Endless {
            head: b"HTTP/1.1 200 OK\r\nx-long: ".to_vec(),
            chunk: vec![b'x'; 4096],
            bytes: u64::MAX,
        }
    }

    /// Sends interim responses forever.
    pub fn informational_flood() -> Self {
        Self::Endless {
            head: Vec::new(),
            chunk: b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(200),
            bytes: u64::MAX,
        }
    }

    /// Sends a status and headers that promise a body, which never comes.
    pub fn hang_after_headers() -> Self {
        Self::raw(TORN_ANSWER).then(Breakage::Hang)
    }
}
