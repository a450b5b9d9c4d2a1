//! Functions of the server that the bindings leave out, or have in a form that cannot be passed as a pointer.

use pgrx::pg_sys;

unsafe extern "C-unwind" {
    pub fn datum_image_eq(
        one: pg_sys::Datum,
        other: pg_sys::Datum,
        by_value: bool,
        length: i32,
    ) -> bool;

    pub fn find_all_inheritors(
        parent: pg_sys::Oid,
        lock_mode: pg_sys::LOCKMODE,
        parent_counts: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;

    pub fn SignalHandlerForShutdownRequest(signal: i32);

    pub fn SignalHandlerForConfigReload(signal: i32);
}
