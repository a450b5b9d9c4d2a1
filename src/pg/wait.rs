//! The only place where the worker sleeps.

use super::process::EventFd;
use pgrx::pg_sys;
use std::time::Duration;

/// Waits until the latch is set (a commit, a signal), `event` is signalled (a sender thread) or the time is over.
/// Leaves the process at once when the postmaster is gone.
pub fn wait(event: &EventFd, timeout: Duration) {
    wait_on(Some(event), timeout);
}

/// Like [`wait`], for a process without threads.
pub fn wait_for_latch(timeout: Duration) {
    wait_on(None, timeout);
}

fn wait_on(event: Option<&EventFd>, timeout: Duration) {
    let mut events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    if event.is_some() {
        events |= pg_sys::WL_SOCKET_READABLE;
    }
    // SAFETY: main thread; the descriptor is open as long as `event` lives. PG_WAIT_EXTENSION shows as wait event "Extension".
    unsafe {
        pg_sys::WaitLatchOrSocket(
            pg_sys::MyLatch,
            events as i32,
            event.map_or(pg_sys::PGINVALID_SOCKET, EventFd::raw),
            i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX),
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    super::process::check_for_interrupts();
}
