//! Notes how a process of pg_herald ends, where it can be read afterwards.
//!
//! The postmaster tells all processes to quit (SIGQUIT) when another process has crashed, and at an immediate stop. A
//! process that leaves by itself, or because the postmaster is gone, runs its exit callbacks. A crash does neither.

use super::symbols::pqsignal;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

static NOTE: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

/// From here on, stores the time in the word, in microseconds since 1970, if this process is told to quit.
pub fn note_quit_signal(word: &'static AtomicU64) {
    NOTE.store(std::ptr::from_ref(word).cast_mut(), Relaxed);
    // SAFETY: main thread; the handler does what PostgreSQL's own does for background workers
    // (`SignalHandlerForCrashExit`), after one store.
    unsafe { pqsignal(libc::SIGQUIT, told_to_quit) }
}

/// Sets the word to 0 when this process leaves in order.
pub fn clear_on_exit(word: &'static AtomicU64) {
    // SAFETY: main thread; the callback gets the address of a word that is never unmapped.
    unsafe {
        pg_sys::on_proc_exit(
            Some(leaving),
            pg_sys::Datum::from(std::ptr::from_ref(word) as usize),
        );
    }
}

// SAFETY (as a signal handler): only calls that are safe there; the word is never unmapped.
unsafe extern "C-unwind" fn told_to_quit(_signal: i32) {
    unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut now);
        if let Some(word) = NOTE.load(Relaxed).as_ref() {
            let micros = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000;
            word.store(micros, Relaxed);
        }
        libc::_exit(2);
    }
}

unsafe extern "C-unwind" fn leaving(code: i32, word: pg_sys::Datum) {
    // Any other code is a crash to the postmaster.
    if code == 0 || code == 1 {
        // SAFETY: see `clear_on_exit`.
        let word = unsafe { &*(word.value() as *const AtomicU64) };
        word.store(0, Relaxed);
    }
}
