//! Reduces the head of a receiver's answer to what counts, so that nothing else in it can be wrong.
//!
//! A receiver has done its work when it sends a status, whatever its server, its framework and three proxies add. So
//! what decides nothing is left out before the HTTP parser sees it: unused headers, however many and however long, line
//! breaks within a value, and reasons in words.

use ureq::Error;

use crate::failure::Failure;

/// The maximum length of a head as it arrives, including those of informational answers before it.
const MAX_HEAD: usize = 64 * 1024;
/// The maximum that is kept of it. The parser takes a hundred lines, and its own cap is higher (`agents`).
const MAX_KEPT: usize = 8 * 1024;
const MAX_KEPT_LINES: usize = 64;
const HTTP: &[u8] = b"HTTP/";
/// Of the status line.
const MAX_FIRST_LINE: usize = 64;

/// Headers that decide where the body ends and whether the connection lives.
const FRAMING: [&str; 3] = ["connection", "content-length", "transfer-encoding"];
/// Headers that are used, besides the status and the body.
const READ: [&str; 3] = [
    "retry-after",
    "webhook-allowed-origin",
    "webhook-allowed-rate",
];

/// What has arrived of an answer but has not gone to the parser yet.
#[derive(Default)]
pub(crate) struct Intake {
    /// The beginning of a head whose end has not arrived.
    head: Vec<u8>,
    /// How many of its bytes were examined: a head may arrive byte by byte.
    seen: usize,
    /// How many bytes arrived before the end of the head.
    received: usize,
    /// Bytes ready for the parser.
    ready: Vec<u8>,
    is_head_over: bool,
}

impl Intake {
    /// Whether the next bytes are the body, which needs no care.
    pub(crate) fn is_head_over(&self) -> bool {
        self.is_head_over
    }

    /// Takes in bytes that arrived. Heads of informational answers may precede that of the answer.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.head.extend_from_slice(bytes);
        self.received += bytes.len();
        while !self.is_head_over {
            let from = self.head.iter().take_while(|byte| is_break(**byte)).count();
            self.head.drain(..from);
            if !begins_as_http(&self.head) {
                self.end();
                break;
            }
            let Some(end) = end_of_head(&self.head, self.seen) else {
                self.seen = self.head.len().saturating_sub(2);
                break;
            };
            self.seen = 0;
            let rest = self.head.split_off(end);
            let head = std::mem::replace(&mut self.head, rest);
            self.ready.extend(essential(&head));
            self.is_head_over = !is_informational(&head);
        }
        if self.is_head_over {
            self.ready.append(&mut self.head);
        } else if self.received > MAX_HEAD {
            let words = format_args!("header larger than {} KiB", MAX_HEAD / 1024);
            return Err(Failure::response(words).into());
        }
        Ok(())
    }

    /// Passes everything on, as nothing more arrives, or nothing understandable: the parser will say so.
    pub(crate) fn end(&mut self) {
        self.is_head_over = true;
        self.ready.append(&mut self.head);
    }

    /// Whether the parser has got everything that arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.ready.is_empty()
    }

    /// Moves as many bytes to the parser as `room` holds. Returns how many.
    pub(crate) fn give(&mut self, room: &mut [u8]) -> usize {
        let count = self.ready.len().min(room.len());
        room[..count].copy_from_slice(&self.ready[..count]);
        self.ready.drain(..count);
        count
    }
}

fn begins_as_http(bytes: &[u8]) -> bool {
    let begin = &bytes[..bytes.len().min(HTTP.len())];
    HTTP.starts_with(begin)
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Returns where the head ends: after its empty line, which begins at `from` or later.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len())
        .filter(|at| bytes[*at] == b'\n')
        .map(|at| at + 1)
        .find_map(|after| match &bytes[after..] {
            [b'\n', ..] => Some(after + 1),
            [b'\r', b'\n', ..] => Some(after + 2),
            _ => None,
        })
}

/// Whether it is `HTTP/1.1 100` or the like, after which another head comes.
fn is_informational(head: &[u8]) -> bool {
    let status = head.split(|byte| *byte == b' ').nth(1);
    status.is_some_and(|status| status.starts_with(b"1") && !status.starts_with(b"101"))
}

/// Returns the status line and the headers that count.
fn essential(head: &[u8]) -> Vec<u8> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let first = lines.next().unwrap_or_default();
    let mut kept = first[..first.len().min(MAX_FIRST_LINE)].to_vec();
    kept.extend(b"\r\n");
    let mut count = 0;
    let mut is_framing_complete = true;
    for line in unfolded(lines) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_one_of = |names: &[&str]| {
            names
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        };
        let is_framing = is_one_of(&FRAMING);
        if !is_framing && !is_one_of(&READ) {
            continue;
        }
        if count < MAX_KEPT_LINES && kept.len() + line.len() < MAX_KEPT {
            kept.extend(line);
            kept.extend(b"\r\n");
            count += 1;
        } else if is_framing {
            is_framing_complete = false;
        }
    }
    if !is_framing_complete {
        kept.extend(b"connection: close\r\n");
    }
    kept.extend(b"\r\n");
    kept
}

/// Joins header lines: a line that begins with a blank continues the previous line (RFC 9112, section 5.2).
fn unfolded<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut unfolded: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        match unfolded.last_mut() {
            Some(before) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                before.push(b' ');
                before.extend(line.trim_ascii_start());
            }
            _ => unfolded.push(line.to_vec()),
        }
    }
    unfolded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what the parser gets of these bytes if they arrive in pieces of this size.
    fn given(bytes: &[u8], size: usize) -> String {
        let mut intake = Intake::default();
        let mut given = Vec::new();
        for piece in bytes.chunks(size) {
            intake.push(piece).expect("a head that is short enough");
            let mut room = [0; 7];
            loop {
                let count = intake.give(&mut room);
                given.extend(&room[..count]);
                if count == 0 {
                    break;
                }
            }
        }
        String::from_utf8(given).expect("text")
    }

    #[test]
    fn only_relevant_parts_are_kept_in_any_chunking() {
        let long = format!("x-long: {}\r\n", "x".repeat(20_000));
        for (answer, expected) in [
            (
                "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\nok".to_owned(),
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            ),
            (
                format!("\r\nHTTP/1.1 429 No\n{long}Retry-After:\n\t120\n\nbody\n\nbody"),
                "HTTP/1.1 429 No\r\nRetry-After: 120\r\n\r\nbody\n\nbody".to_owned(),
            ),
            (
                format!(
                    "HTTP/1.1 103 Early\r\n{long}\r\nHTTP/1.1 204 None\r\nx: {long}: y\r\n\r\n"
                ),
                "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 None\r\n\r\n".to_owned(),
            ),
            (
                format!("HTTP/1.1 200 {}\r\n\r\n", "O".repeat(20_000)),
                format!("HTTP/1.1 200 {}\r\n\r\n", "O".repeat(MAX_FIRST_LINE - 13)),
            ),
        ] {
            for size in [1, 3, 4096, answer.len()] {
                assert_eq!(
                    given(answer.as_bytes(), size),
                    expected,
                    "in pieces of {size}"
                );
            }
        }
    }

    #[test]
    fn framing_that_is_too_long_ends_with_the_connection() {
        let many = "transfer-encoding: chunked\r\n".repeat(70);
        let kept = given(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes(), 4096);
        assert!(
            kept.ends_with("chunked\r\nconnection: close\r\n\r\n"),
            "{kept}"
        );
        assert_eq!(kept.matches("chunked").count(), MAX_KEPT_LINES);
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let mut intake = Intake::default();
        intake.push(b"HTTP/1.1 200 ").expect("a beginning");
        let mut pushed = (0..).map(|_| intake.push(&[b'x'; 1024]));
        assert!(pushed.by_ref().take(63).all(|taken| taken.is_ok()));
        assert!(pushed.next().is_some_and(|taken| taken.is_err()));
    }

    #[test]
    fn informational_answers_without_end_are_refused() {
        let mut intake = Intake::default();
        let flood = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
        let taken = (0..).take_while(|_| intake.push(&flood).is_ok()).count();
        assert_eq!(taken, MAX_HEAD / flood.len());
    }
}
