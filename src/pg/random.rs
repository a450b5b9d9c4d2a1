//! Random bytes that secrets may be made of.

use pgrx::pg_sys;

/// `N` bytes from the system's cryptographic source.
pub fn strong<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    // SAFETY: the buffer has N bytes.
    let is_done = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) };
    if !is_done {
        pgrx::error!("pg_herald: the system has no random bytes");
    }
    bytes
}
