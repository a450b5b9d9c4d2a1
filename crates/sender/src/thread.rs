//! The loop of a send thread: takes a work, prepares it, sends it, and hands back the outcome.
//!
//! Every work comes back: a panic is caught and becomes an outcome of class `internal`, and the thread continues with
//! the next work. The thread ends when the channel is closed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use herald_core::attempt::outcome::{ErrorClass, Outcome};

use crate::agents::Agents;
use crate::attempt;
use crate::pool::MAX_IDLE_AGE;
use crate::tokens::Tokens;
use crate::wake::Wake;
use crate::work::{Attempted, Prepare};

/// What all send threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) agents: Agents,
    pub(crate) tokens: Tokens,
    pub(crate) wake: Wake,
    pub(crate) response_cap: usize,
}

/// Runs the thread of this number until `works` is closed and empty.
pub(crate) fn send_until_closed<P: Prepare>(
    number: usize,
    shared: &Arc<Shared>,
    works: &Receiver<P>,
    outcomes: &Sender<Attempted<P>>,
) {
    let mut may_sweep = false;
    loop {
        // After a work, wake up once more when all connections have passed their age. Idle threads then sleep until the
        // next work.
        let received = if may_sweep {
            works.recv_timeout(MAX_IDLE_AGE)
        } else {
            works.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match received {
            Ok(work) => {
                work.begun(number);
                let attempted = attempt_caught(shared, work);
                P::ended(number);
                // Fails only if the sender was dropped: then nobody is left to record the outcome.
                if outcomes.send(attempted).is_ok() {
                    shared.wake.announce();
                }
                may_sweep = true;
            }
            Err(RecvTimeoutError::Timeout) => may_sweep = shared.agents.sweep(Instant::now()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn attempt_caught<P: Prepare>(shared: &Shared, mut work: P) -> Attempted<P> {
    let started = Instant::now();
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let started_at_unix_micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
    // A panic may leave the work half-changed. It is handed back only for its identity.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        attempt(shared, &mut work, started, started_at_unix_micros)
    }));
    let outcome = caught.unwrap_or_else(|panic| {
        // Best effort: if the key panics as well, the thread must not end.
        if let Ok(key) = catch_unwind(AssertUnwindSafe(|| work.agent())) {
            shared.agents.forget(&key);
        }
        let reason = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no reason given");
        let words = format!("internal: the sender panicked: {reason}");
        Outcome::failed(ErrorClass::Internal, words, started.elapsed())
    });
    Attempted {
        work,
        outcome,
        started_at_unix_micros,
    }
}

fn attempt<P: Prepare>(
    shared: &Shared,
    work: &mut P,
    started: Instant,
    started_at_unix_micros: i64,
) -> Outcome {
    let key = work.agent();
    match work.prepare(started_at_unix_micros / 1_000_000) {
        Ok(request) => attempt::send(
            &shared.agents,
            &shared.tokens,
            &key,
            &request,
            started,
            shared.response_cap,
        ),
        Err(outcome) => outcome,
    }
}
