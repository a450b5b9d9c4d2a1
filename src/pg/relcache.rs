//! Tracks changes of definitions.

use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

thread_local! {
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
    static FOLLOWED: RefCell<HashSet<pg_sys::Oid>> = RefCell::new(HashSet::new());
}

/// Returns a number that changes whenever the definition of a followed relation, or of any function or schema, may have
/// changed. What was derived from such a definition is valid while this number stays the same.
pub fn generation() -> u64 {
    if !REGISTERED.replace(true) {
        // SAFETY: registered once per process; the callbacks only increment a thread-local number.
        unsafe {
            pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), pg_sys::Datum::from(0));
            for cache in [
                pg_sys::SysCacheIdentifier::PROCOID,
                pg_sys::SysCacheIdentifier::NAMESPACEOID,
            ] {
                pg_sys::CacheRegisterSyscacheCallback(
                    cache as i32,
                    Some(name_changed),
                    pg_sys::Datum::from(0),
                );
            }
        }
    }
    GENERATION.get()
}

/// Makes [`generation`] change with this relation, too. Other relations are left out, because every temporary table of
/// a session would count.
pub fn follow(relation: pg_sys::Oid) {
    FOLLOWED.with_borrow_mut(|followed| followed.insert(relation));
}

/// Tells all sessions, once this transaction has committed, that what they derived from this relation may be outdated.
pub fn announce_change(relation: pg_sys::Oid) {
    // SAFETY: an ERROR unless the relation exists.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) }
}

// SAFETY (as a C callback): it calls no function of PostgreSQL and cannot panic: nobody borrows the set while
// PostgreSQL runs.
unsafe extern "C-unwind" fn relation_changed(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    if relation == pg_sys::InvalidOid || FOLLOWED.with_borrow(|set| set.contains(&relation)) {
        GENERATION.set(GENERATION.get().wrapping_add(1));
    }
}

// SAFETY (as a C callback): as above.
unsafe extern "C-unwind" fn name_changed(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    GENERATION.set(GENERATION.get().wrapping_add(1));
}
