//! Writing rows into a table of our own without the executor, which costs several times as much for one row.
//!
//! What an INSERT would see to is the caller's: defaults, constraints, the bounds of a partition. There must be no
//! trigger on the table, and on it only plain indexes. Nothing of a user's runs, and no privilege is asked for.

use super::symbols::nextval_internal;
use pgrx::{pg_sys, pg_sys::Datum};
use std::ffi::CStr;

/// A table that is being written to. It stays locked until the end of the transaction, as after an INSERT.
pub struct Heap {
    relation: pg_sys::Relation,
    indexes: pg_sys::CatalogIndexState,
    positions: Vec<usize>,
}

impl Heap {
    /// Opens a table in order to write these of its columns; all others become null.
    pub fn open(table: pg_sys::Oid, columns: &[&str]) -> Self {
        // SAFETY: an ERROR if the table does not exist; it is open and locked from then on.
        unsafe {
            let relation = pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32);
            let descriptor = pgrx::PgTupleDesc::from_pg_unchecked((*relation).rd_att);
            let is_named = |position: usize, name: &str| {
                let attribute = descriptor.get(position);
                attribute.is_some_and(|attribute| {
                    // A dropped column's name is none that a column can have.
                    CStr::from_ptr(attribute.attname.data.as_ptr()).to_bytes() == name.as_bytes()
                })
            };
            let position_of = |(expected, name): (usize, &&str)| {
                // They mostly stand in the order in which they are asked for.
                let others = 0..descriptor.len();
                std::iter::once(expected)
                    .chain(others)
                    .find(|position| is_named(*position, name))
                    .unwrap_or_else(|| pgrx::error!("pg_herald: a column {name} is missing"))
            };
            let positions = columns.iter().enumerate().map(position_of).collect();
            drop(descriptor);
            Self {
                relation,
                indexes: pg_sys::CatalogOpenIndexes(relation),
                positions,
            }
        }
    }

    /// Writes one row: the values of the columns that were named, in their order. They must be of the columns' types.
    pub fn insert<const N: usize>(&self, row: [Option<Datum>; N]) {
        debug_assert_eq!(N, self.positions.len());
        // SAFETY: relation and indexes are open as long as this value lives; every position is a column's.
        unsafe {
            let descriptor = (*self.relation).rd_att;
            let natts = (*descriptor).natts as usize;
            let mut values = vec![Datum::from(0usize); natts];
            let mut nulls = vec![true; natts];
            for (position, value) in self.positions.iter().zip(row) {
                if let Some(value) = value {
                    values[*position] = value;
                    nulls[*position] = false;
                }
            }
            let tuple =
                pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::CatalogTupleInsertWithInfo(self.relation, tuple, self.indexes);
        }
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // After an ERROR PostgreSQL closes them itself.
        if !std::thread::panicking() {
            // SAFETY: opened in `open`, closed once; the lock stays.
            unsafe {
                pg_sys::CatalogCloseIndexes(self.indexes);
                pg_sys::table_close(self.relation, pg_sys::NoLock as i32);
            }
        }
    }
}

/// Draws a number from a sequence of our own.
pub fn next_value(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: the sequence exists (an ERROR says otherwise); the call is guarded.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| nextval_internal(sequence, false)) }
}
