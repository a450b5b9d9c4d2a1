//! One connection: reads, records and answers requests in turn, or breaks as the mode says.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use socket2::SockRef;

use super::mode::{Breakage, Mode, Moment};
use super::request::{Head, Request, Signature};
use super::shared::Shared;
use crate::clock::now_micros;

pub(super) struct Connection {
    socket: Arc<TcpStream>,
    stream: BufReader<Stream>,
    shared: Arc<Shared>,
}

impl Connection {
    pub(super) fn new(socket: Arc<TcpStream>, shared: Arc<Shared>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let plain = Socket(Arc::clone(&socket));
        let stream = match &shared.tls {
            None => Stream::Plain(plain),
            Some(tls) => {
                let session =
                    ServerConnection::new(Arc::clone(&tls.config)).map_err(io::Error::other)?;
                Stream::Tls(Box::new(StreamOwned::new(session, plain)))
            }
        };
        Ok(Self {
            socket,
            stream: BufReader::new(stream),
            shared,
        })
    }

    /// Serves until either side ends the connection. An error is the sender's affair, or what the mode wanted.
    pub(super) fn serve(mut self) -> io::Result<()> {
        let mode = self.shared.modes().default.clone();
        if let Mode::Break {
            at: Moment::Accepted,
            saying,
            how,
        } = mode
        {
            (&*self.socket).write_all(&saying)?;
            return self.break_off(how);
        }
        while let Some(head) = Head::read(&mut self.stream)? {
            let mode = self.shared.modes().of(&head.path);
            if let Mode::Break {
                at: Moment::Accepted | Moment::HeadRead,
                saying,
                how,
            } = mode
            {
                self.write(&saying)?;
                return self.break_off(how);
            }
            let keeps_alive = head.keeps_alive;
            let request = self.read_request(head)?;
            if !self.answer(request, &mode)? {
                return Ok(());
            }
            if !keeps_alive {
                break;
            }
        }
        self.close()
    }

    fn read_request(&mut self, head: Head) -> io::Result<Request> {
        if head.expects_continue() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = head.read_body(&mut self.stream)?;
        let mut request = Request {
            at_micros: now_micros(),
            method: head.method,
            path: head.path,
            webhook_id: None,
            headers: head.headers,
            body,
            attempt: 0,
            signature: Signature::Unchecked,
            accepted: false,
        };
        request.webhook_id = request.header("webhook-id").map(str::to_owned);
        self.shared.ledger.admit(&mut request);
        Ok(request)
    }

    /// Records the request, then answers it. Returns false if that has ended the connection.
    fn answer(&mut self, mut request: Request, mode: &Mode) -> io::Result<bool> {
        let answer = mode.answer_to(&request);
        request.accepted = answer.as_ref().is_some_and(|answer| answer.is_success());
        if let Some(observe) = &self.shared.observe {
            observe(&request);
        }
        self.shared.ledger.record(request)?;

        let mut mode = mode;
        while let Mode::Delayed(pause, then) = mode {
            self.shared.pause(*pause);
            mode = then;
        }
        match (mode, answer) {
            (Mode::Trickle(every), Some(answer)) => {
                self.trickle(&answer.to_bytes(), *every).map(|()| true)
            }
            (Mode::TrickleBody(every), Some(answer)) => {
                let bytes = answer.to_bytes();
                let (head, body) = bytes.split_at(bytes.len() - answer.body.len());
                self.write(head)?;
                self.trickle(body, *every).map(|()| true)
            }
            (_, Some(answer)) => self.write(&answer.to_bytes()).map(|()| true),
            (Mode::Endless { head, chunk, bytes }, None) => {
                self.write(head)?;
                self.repeat(chunk, *bytes)?;
                self.close().map(|()| false)
            }
            (Mode::Break { saying, how, .. }, None) => {
                self.write(saying)?;
                self.break_off(*how).map(|()| false)
            }
            (_, None) => Ok(false),
        }
    }

    fn trickle(&mut self, bytes: &[u8], every: Duration) -> io::Result<()> {
        for byte in bytes {
            self.write(std::slice::from_ref(byte))?;
            self.shared.pause(every);
        }
        Ok(())
    }

    fn repeat(&mut self, chunk: &[u8], bytes: u64) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            let now = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.write(&chunk[..now])?;
            left -= now as u64;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    fn break_off(&self, how: Breakage) -> io::Result<()> {
        match how {
            Breakage::Close => self.socket.shutdown(Shutdown::Write),
            // Ours is the last handle, so closing it with a linger of zero resets the connection.
            Breakage::Reset => SockRef::from(&*self.socket).set_linger(Some(Duration::ZERO)),
            Breakage::Hang => {
                let mut ignored = [0; 4096];
                while (&*self.socket).read(&mut ignored)? > 0 {}
                Ok(())
            }
        }
    }

    fn close(&mut self) -> io::Result<()> {
        if let Stream::Tls(stream) = self.stream.get_mut() {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket.shutdown(Shutdown::Write)
    }
}

enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A handle that reads and writes through a shared reference, so that the receiver can shut the socket from outside.
struct Socket(Arc<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
