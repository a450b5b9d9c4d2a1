//! A TCP stream whose reads and writes end at a deadline, however few bytes trickle in.
//!
//! The socket's own timeouts only tick: they are set once and stay, and each tick checks the deadline. This saves a
//! system call for each read. Probing an idle connection also takes only one `recv`.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use socket2::SockRef;
use ureq::unversioned::transport::ShutdownHandle;

/// How long the socket blocks before it checks its deadline.
const TICK: Duration = Duration::from_secs(2);

/// The stream, and the deadline of its current step.
pub(crate) struct Socket {
    stream: Arc<TcpHandle>,
    deadline: Option<Instant>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream: Arc::new(TcpHandle(stream)),
            deadline: None,
            read_timeout: None,
            write_timeout: None,
        }
    }

    /// Lets the following reads and writes together take this long.
    pub(crate) fn allow(&mut self, time: Duration) {
        self.deadline = Instant::now().checked_add(time);
    }

    /// Returns a handle with which the agent can interrupt a thread that blocks on the socket.
    pub(crate) fn shutdown_handle(&self) -> Weak<dyn ShutdownHandle> {
        let weak: Weak<TcpHandle> = Arc::downgrade(&self.stream);
        weak
    }

    /// Whether it is open, and no unexpected bytes have arrived.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        SockRef::from(&self.stream.0)
            .recv_with_flags(&mut byte, libc::MSG_DONTWAIT | libc::MSG_PEEK)
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn next_timeout(&self) -> io::Result<Duration> {
        let Some(deadline) = self.deadline else {
            return Ok(TICK);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left.min(TICK))
    }

    fn read_until_deadline(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let timeout = Some(self.next_timeout()?);
            if timeout != self.read_timeout {
                self.stream.0.set_read_timeout(timeout)?;
                self.read_timeout = timeout;
            }
            match (&self.stream.0).read(buffer) {
                Err(error) if is_tick(&error) => {}
                result => return result,
            }
        }
    }

    fn write_until_deadline(
        &mut self,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let timeout = Some(self.next_timeout()?);
            if timeout != self.write_timeout {
                self.stream.0.set_write_timeout(timeout)?;
                self.write_timeout = timeout;
            }
            match write(&self.stream.0) {
                Err(error) if is_tick(&error) => {}
                result => return result,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_until_deadline(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_until_deadline(|mut stream| stream.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_until_deadline(|mut stream| stream.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_tick(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

struct TcpHandle(TcpStream);

impl ShutdownHandle for TcpHandle {
    fn shutdown(&self) {
        // An error means that the socket is already closed, as wanted.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
