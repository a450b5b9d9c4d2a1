//! Trees of partitions.

use super::symbols::find_all_inheritors;
use pgrx::{PgRelation, pg_sys};

/// Returns the partitions below a partitioned table, on all levels; none for a plain table or an inheritance parent.
pub fn partitions_below(table: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    // SAFETY: the table exists and is locked by the running statement; the list lives in the current memory context
    // and holds `length` oids.
    unsafe {
        let relation = PgRelation::with_lock(table, pg_sys::AccessShareLock as i32);
        if !relation.is_partitioned_table() {
            return Vec::new();
        }
        let list = pg_sys::ffi::pg_guard_ffi_boundary(|| {
            find_all_inheritors(table, pg_sys::NoLock as i32, std::ptr::null_mut())
        });
        let count = if list.is_null() { 0 } else { (*list).length };
        (0..count)
            .map(|at| (*(*list).elements.add(at as usize)).oid_value)
            .filter(|oid| *oid != table)
            .collect()
    }
}
