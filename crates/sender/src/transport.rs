//! One connection under ureq's HTTP, in the clear or with TLS. It replaces ureq's own transport for these reasons:
//!
//! - Header and body leave in one segment: output is held back until ureq waits for the answer.
//! - Half the system calls: see `socket`.
//! - It knows whether a connection had served before and whether a byte of this answer has come, which is exactly
//!   what decides if a failed request may be sent again at once ([`Failure::is_stale`]).
//! - All agents share one TLS configuration and one `pool`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConnection, StreamOwned};
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

use crate::failure::Failure;
use crate::pool::{Pool, Purpose};
use crate::socket::Socket;

/// Room for the response header; its own cap (16 KiB, `agents`) is below, so that it is the one that is hit.
const INPUT_SIZE: usize = 20 * 1024;
const OUTPUT_SIZE: usize = 16 * 1024;
/// Output beyond this is sent at once; below it, there is room for any header line of up to 12 KiB.
const SEND_AT: usize = 4 * 1024;

/// What the bytes go through.
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
    /// Gone only while the wire is dropped.
    line: Option<Box<Line>>,
    pool: Arc<Pool>,
    purpose: Purpose,
    /// It has served a request before: the peer may have closed it since.
    is_reused: bool,
    /// A byte of the answer has come.
    is_answered: bool,
    /// The answer was read to its end and the peer lets the connection live.
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
        Failure::before_answer(&error, self.is_reused).into()
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.line().buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let line = self.line();
        line.buffers.held += amount;
        if line.buffers.held < SEND_AT {
            return Ok(());
        }
        line.send_held(timeout)
            .map_err(|error| self.explain(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let line = self.line();
        let received = line
            .send_held(timeout)
            .and_then(|()| line.receive(timeout))
            .map_err(|error| self.explain(error, timeout))?;
        if received == 0 && !self.is_answered {
            return Err(self.explain(io::ErrorKind::UnexpectedEof.into(), timeout));
        }
        self.is_answered = true;
        Ok(received > 0)
    }

    /// ureq asks when it has read an answer to its end and would put the connection into its own pool. That holds
    /// nothing, so the wire is dropped right after, and the line goes into ours, which looks at the socket before
    /// the next use.
    fn is_open(&mut self) -> bool {
        self.is_reusable = true;
        true
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

    /// Neither closed nor with bytes that nobody asked for.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.channel.is_quiet()
    }

    fn send_held(&mut self, timeout: NextTimeout) -> io::Result<()> {
        let held = std::mem::take(&mut self.buffers.held);
        if held == 0 {
            return Ok(());
        }
        self.channel.socket().allow(*timeout.after);
        self.channel.write_all(&self.buffers.output[..held])
    }

    fn receive(&mut self, timeout: NextTimeout) -> io::Result<usize> {
        self.channel.socket().allow(*timeout.after);
        let received = self.channel.read(self.buffers.input.input_append_buf())?;
        self.buffers.input.input_appended(received);
        Ok(received)
    }
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

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Clear(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        }
    }
}

/// ureq's buffers, but for output: what is transmitted stays here until it is worth a segment.
struct LineBuffers {
    input: LazyBuffers,
    output: Vec<u8>,
    /// So many bytes at the start of `output` are transmitted by ureq and not yet sent.
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
