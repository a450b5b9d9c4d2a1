//! One connection under ureq's HTTP, in the clear or with TLS. Replaces ureq's own transport for these reasons:
//!
//! - Header and body leave in one segment: output is held back until ureq waits for the answer.
//! - Half the system calls: see `socket`.
//! - It knows whether a connection has served before and whether a byte of this answer has come, which decides if a
//!   failed request may be sent again at once ([`Failure::is_stale`]).
//! - All agents share one TLS configuration and one `pool`.
//! - An answer counts even if it comes before the request was read to its end: a receiver that refuses a large body
//!   says so and closes the connection.
//! - Only what counts of an answer's head reaches the parser: see `head`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConnection, StreamOwned};
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

use crate::failure::Failure;
use crate::head::Intake;
use crate::pool::{Pool, Purpose};
use crate::socket::Socket;

/// Room for the kept part of a response's head (`head`).
const INPUT_SIZE: usize = 20 * 1024;
/// How much of a head is read at once.
const PIECE: usize = 4 * 1024;
const OUTPUT_SIZE: usize = 16 * 1024;
/// Output beyond this is sent at once; below it, any line of the head fits (`request::MAX_LINE_BYTES`).
const SEND_AT: usize = 4 * 1024;

/// Carries the bytes of a connection.
pub(crate) enum Channel {
    /// Plain HTTP.
    Clear(Socket),
    /// HTTPS, after the handshake.
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A connection with its buffers. It outlives the requests that it serves.
pub(crate) struct Line {
    channel: Channel,
    buffers: LineBuffers,
    peer: SocketAddr,
}

/// A line while it serves one request.
pub(crate) struct Wire {
    /// `None` only while the wire is dropped.
    line: Option<Box<Line>>,
    pool: Arc<Pool>,
    purpose: Purpose,
    /// It has served a request before: the peer may have closed it since.
    is_reused: bool,
    /// A byte of the answer has come.
    is_answered: bool,
    /// Why the peer took no more of the request. The rest is not sent, and the answer may have come.
    refusal: Option<io::Error>,
    intake: Intake,
    /// The answer was read to its end and the peer keeps the connection open.
    is_reusable: bool,
}

impl Wire {
    pub(crate) fn new(line: Box<Line>, is_reused: bool, pool: Arc<Pool>, purpose: Purpose) -> Self {
        Self {
            line: Some(line),
            pool,
            purpose,
            is_reused,
            is_answered: false,
            refusal: None,
            intake: Intake::default(),
            is_reusable: false,
        }
    }

    fn line(&mut self) -> &mut Line {
        self.line.as_mut().expect("only drop takes the line away")
    }

    fn explain(&self, error: io::Error, timeout: NextTimeout) -> ureq::Error {
        if error.kind() == io::ErrorKind::TimedOut {
            return ureq::Error::Timeout(timeout.reason);
        }
        if self.is_answered {
            return error.into();
        }
        let first = self.refusal.as_ref().unwrap_or(&error);
        Failure::before_answer(first, self.is_reused).into()
    }

    fn send_held(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let is_refused = self.refusal.is_some();
        let line = self.line();
        let held = std::mem::take(&mut line.buffers.held);
        if held == 0 || is_refused {
            return Ok(());
        }
        match line.send(held, timeout) {
            Err(error) if is_refusal(&error) => self.refusal = Some(error),
            Err(error) => return Err(self.explain(error, timeout)),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Waits for bytes of the answer that the parser may have. Returns 0 after its end.
    fn receive(&mut self, timeout: NextTimeout) -> Result<usize, ureq::Error> {
        let may_write = self.refusal.is_none();
        let Self { line, intake, .. } = self;
        let line = line.as_mut().expect("only drop takes the line away");
        line.channel.socket().allow(*timeout.after);
        loop {
            let room = line.buffers.input.input_append_buf();
            let given = intake.give(room);
            if given > 0 {
                line.buffers.input.input_appended(given);
                return Ok(given);
            }
            let mut piece = [0; PIECE];
            let is_body = intake.is_head_over();
            let target = if is_body { room } else { &mut piece };
            let received = match line.channel.read(target, may_write) {
                Ok(received) => received,
                Err(error) => return Err(self.explain(error, timeout)),
            };
            if is_body {
                line.buffers.input.input_appended(received);
                return Ok(received);
            }
            match received {
                0 if self.is_answered => intake.end(),
                0 => return Err(self.explain(io::ErrorKind::UnexpectedEof.into(), timeout)),
                count => intake.push(&piece[..count])?,
            }
            self.is_answered = true;
        }
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.line().buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let buffers = &mut self.line().buffers;
        buffers.held += amount;
        if buffers.held < SEND_AT {
            return Ok(());
        }
        self.send_held(timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.send_held(timeout)?;
        let received = self.receive(timeout)?;
        Ok(received > 0)
    }

    /// Called by ureq when it has read an answer to its end and would put the connection into its own pool. That holds
    /// nothing, so the wire is dropped right after, and the line goes into ours, which probes the socket before the
    /// next use.
    fn is_open(&mut self) -> bool {
        self.is_reusable = self.refusal.is_none() && self.intake.is_empty();
        self.is_reusable
    }

    fn is_tls(&self) -> bool {
        self.line
            .as_ref()
            .is_some_and(|line| matches!(line.channel, Channel::Tls(_)))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(line) = self.line.take()
            && self.is_reusable
            && line.buffers.held == 0
        {
            self.pool.put(self.purpose.clone(), line);
        }
    }
}

impl Line {
    pub(crate) fn new(channel: Channel, peer: SocketAddr) -> Self {
        Self {
            channel,
            buffers: LineBuffers {
                input: LazyBuffers::new(INPUT_SIZE, 1),
                output: Vec::new(),
                held: 0,
            },
            peer,
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it is open, and no unexpected bytes have arrived.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.channel.is_quiet()
    }

    fn send(&mut self, held: usize, timeout: NextTimeout) -> io::Result<()> {
        self.channel.socket().allow(*timeout.after);
        self.channel.write_all(&self.buffers.output[..held])
    }
}

/// Whether the peer takes no more, but may have answered.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl Channel {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Clear(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }

    fn is_quiet(&mut self) -> bool {
        let is_nothing_decrypted = match self {
            Self::Clear(_) => true,
            Self::Tls(stream) => stream
                .conn
                .process_new_packets()
                .is_ok_and(|state| state.plaintext_bytes_to_read() == 0),
        };
        is_nothing_decrypted && self.socket().is_quiet()
    }

    /// Reads from the channel. rustls writes pending output before it reads, which must not happen if the peer takes no
    /// more.
    fn read(&mut self, buffer: &mut [u8], may_write: bool) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.read(buffer),
            Self::Tls(stream) if may_write => stream.read(buffer),
            Self::Tls(stream) => read_only(stream, buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Clear(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        }
    }
}

fn read_only(
    stream: &mut StreamOwned<ClientConnection, Socket>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    loop {
        match stream.conn.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        stream.conn.read_tls(&mut stream.sock)?;
        stream
            .conn
            .process_new_packets()
            .map_err(io::Error::other)?;
    }
}

/// ureq's buffers, except for output: what is transmitted stays here until it is worth a segment.
struct LineBuffers {
    input: LazyBuffers,
    output: Vec<u8>,
    /// The number of bytes at the start of `output` that ureq transmitted but that are not sent yet.
    held: usize,
}

impl Buffers for LineBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.output.resize(OUTPUT_SIZE, 0);
        &mut self.output[self.held..]
    }

    fn input(&self) -> &[u8] {
        self.input.input()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.input_append_buf()
    }

    fn input_appended(&mut self, amount: usize) {
        self.input.input_appended(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.input.input_consume(amount);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.output.resize(OUTPUT_SIZE, 0);
        (self.input.tmp_and_output().0, &mut self.output[self.held..])
    }

    fn can_use_input(&self) -> bool {
        self.input.can_use_input()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Line")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wire")
            .field("line", &self.line)
            .field("is_reused", &self.is_reused)
            .field("is_answered", &self.is_answered)
            .finish_non_exhaustive()
    }
}
