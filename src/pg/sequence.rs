//! Reads a sequence without a snapshot.

use pgrx::pg_sys;

/// Returns the last number that any session drew, committed or not; 0 if none was drawn yet.
///
/// Takes no snapshot, so it can be called before a transaction takes its first one.
pub fn last_value(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: pg_sequence_last_value takes one oid; the caller is in a transaction and the sequence exists.
    let last = unsafe {
        pgrx::direct_function_call::<i64>(
            pg_sys::pg_sequence_last_value,
            &[Some(pg_sys::Datum::from(sequence))],
        )
    };
    last.unwrap_or(0)
}
