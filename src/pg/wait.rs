//! The only place where the worker sleeps.
//!
//! Nothing here opens a file descriptor for a wait: a process that has run out of them must still be able to wait.

use super::process::{EventFd, check_for_interrupts};
use pgrx::pg_sys;
use std::time::Duration;

/// Waits for the latch (a commit, a signal), for an event (a sender thread) or for a timeout.
#[derive(Debug)]
pub struct Waiter {
    event: EventFd,
    set: *mut pg_sys::WaitEventSet,
}

impl Waiter {
    /// Creates a waiter that lives as long as the process: the set is never freed.
    pub fn new(event: EventFd) -> Self {
        // SAFETY: main thread; the set is in memory that is never freed, and the descriptor is open as long as the set
        // is used, because both have the same owner.
        unsafe {
            #[cfg(any(feature = "pg15", feature = "pg16"))]
            let owner = pg_sys::TopMemoryContext;
            #[cfg(not(any(feature = "pg15", feature = "pg16")))]
            let owner = std::ptr::null_mut();
            let set = pg_sys::CreateWaitEventSet(owner, 3);
            let add = |events, fd, latch| {
                pg_sys::AddWaitEventToSet(set, events, fd, latch, std::ptr::null_mut());
            };
            let none = pg_sys::PGINVALID_SOCKET;
            add(pg_sys::WL_LATCH_SET, none, pg_sys::MyLatch);
            add(pg_sys::WL_EXIT_ON_PM_DEATH, none, std::ptr::null_mut());
            add(
                pg_sys::WL_SOCKET_READABLE,
                event.raw(),
                std::ptr::null_mut(),
            );
            Self { event, set }
        }
    }

    /// Waits. Exits the process at once if the postmaster is gone.
    pub fn wait(&self, timeout: Duration) {
        // SAFETY: main thread; the set is valid, see `new`, and the one requested event has room.
        unsafe {
            let mut occurred = std::mem::zeroed();
            pg_sys::WaitEventSetWait(
                self.set,
                millis(timeout),
                &mut occurred,
                1,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        check_for_interrupts();
    }

    /// Takes back the signals so far.
    pub fn drain(&self) {
        self.event.drain();
    }
}

/// Like [`Waiter::wait`], for a process without threads.
pub fn wait_for_latch(timeout: Duration) {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: main thread. PG_WAIT_EXTENSION shows as wait event "Extension".
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            events as i32,
            millis(timeout),
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    check_for_interrupts();
}

fn millis(timeout: Duration) -> std::ffi::c_long {
    std::ffi::c_long::try_from(timeout.as_millis()).unwrap_or(std::ffi::c_long::MAX)
}
