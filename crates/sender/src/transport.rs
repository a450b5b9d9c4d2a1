//! A connection while it serves a request of ureq's HTTP. Replaces ureq's own transport for these reasons:
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
use std::io;
use std::sync::Arc;

use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use crate::failure::Failure;
use crate::head::Intake;
use crate::line::{Channel, Line};
use crate::pool::{Pool, Purpose};

/// How much of a head is read at once.
const PIECE: usize = 4 * 1024;
/// Output beyond this is sent at once; below it, any line of the head fits (`request::MAX_LINE_BYTES`).
const SEND_AT: usize = 4 * 1024;

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

/// Whether the peer takes no more, but may have answered.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
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
