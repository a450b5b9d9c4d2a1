//! Learning that the definition of a table or a function changed.

use pgrx::pg_sys;
use std::cell::Cell;

thread_local! {
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// A number that changes whenever the definition of any relation or function may have changed.
///
/// What was derived from such a definition is valid as long as this number stays the same.
pub fn generation() -> u64 {
    if !REGISTERED.replace(true) {
        // SAFETY: registered once for each process; the callbacks only add to a thread-local number.
        unsafe {
            pg_sys::CacheRegisterRelcacheCallback(Some(definition_changed), pg_sys::Datum::from(0));
            pg_sys::CacheRegisterSyscacheCallback(
                pg_sys::SysCacheIdentifier::PROCOID as i32,
                Some(function_changed),
                pg_sys::Datum::from(0),
            );
        }
    }
    GENERATION.get()
}

// SAFETY (as a C callback): it calls nothing of PostgreSQL and cannot panic.
unsafe extern "C-unwind" fn definition_changed(_arg: pg_sys::Datum, _relation: pg_sys::Oid) {
    GENERATION.set(GENERATION.get().wrapping_add(1));
}

// SAFETY (as a C callback): as above.
unsafe extern "C-unwind" fn function_changed(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    GENERATION.set(GENERATION.get().wrapping_add(1));
}
