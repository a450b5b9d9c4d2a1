//! Random bytes.

use pgrx::pg_sys;
use std::cell::RefCell;

/// Returns `N` bytes from the system's cryptographic source, fit for secrets.
pub fn strong<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    // SAFETY: the buffer has N bytes.
    let is_done = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) };
    if !is_done {
        pgrx::error!("pg_herald: cannot get random bytes from the system");
    }
    bytes
}

/// Returns `N` of the random bytes that this session keeps in store: asking the system for each event would take longer
/// than everything else for its id.
pub fn stored<const N: usize>() -> [u8; N] {
    const STORE: usize = 640;
    thread_local! {
        static STORED: RefCell<(usize, [u8; STORE])> = const { RefCell::new((STORE, [0; STORE])) };
    }
    STORED.with_borrow_mut(|(used, store)| {
        if *used + N > STORE {
            (*used, *store) = (0, strong());
        }
        let bytes = std::array::from_fn(|at| store[*used + at]);
        *used += N;
        bytes
    })
}
