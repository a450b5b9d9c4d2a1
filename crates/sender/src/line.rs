//! An open connection: the socket, with or without TLS, and its buffers. Between two requests it waits in `pool`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use rustls::{ClientConnection, StreamOwned};
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout};

use crate::socket::Socket;

/// Room for the kept part of a response's head (`head`).
const INPUT_SIZE: usize = 20 * 1024;
const OUTPUT_SIZE: usize = 16 * 1024;

/// Carries the bytes of a connection.
pub(crate) enum Channel {
    /// Plain HTTP.
    Clear(Socket),
    /// HTTPS, after the handshake.
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A connection with its buffers. It outlives the requests that it serves.
pub(crate) struct Line {
    pub(crate) channel: Channel,
    pub(crate) buffers: LineBuffers,
    peer: SocketAddr,
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

    /// Sends this much of the output.
    pub(crate) fn send(&mut self, held: usize, timeout: NextTimeout) -> io::Result<()> {
        self.channel.socket().allow(*timeout.after);
        self.channel.write_all(&self.buffers.output[..held])
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

impl Channel {
    pub(crate) fn socket(&mut self) -> &mut Socket {
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
    pub(crate) fn read(&mut self, buffer: &mut [u8], may_write: bool) -> io::Result<usize> {
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
pub(crate) struct LineBuffers {
    pub(crate) input: LazyBuffers,
    output: Vec<u8>,
    /// The number of bytes at the start of `output` that ureq transmitted but that are not sent yet.
    pub(crate) held: usize,
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
