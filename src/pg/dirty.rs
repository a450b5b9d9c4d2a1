//! Rows that other transactions have written but not committed: no snapshot shows them, and ON CONFLICT waits for them.

use pgrx::{IntoDatum, PgRelation, pg_sys};
use std::ptr;

/// The number of columns in a key.
const KEYS: i32 = 2;

/// An index on two bigint columns, read with uncommitted rows.
pub struct DirtyIndex {
    table: PgRelation,
    index: PgRelation,
}

impl DirtyIndex {
    /// Opens a table and one of its indexes; `None` unless that is still a valid B-tree that begins with two bigint
    /// columns.
    pub fn open(table: pg_sys::Oid, index: pg_sys::Oid) -> Option<Self> {
        let lock = pg_sys::AccessShareLock as i32;
        // SAFETY: an ERROR unless both exist; they stay open and locked until they are dropped.
        let (table, index) = unsafe {
            (
                PgRelation::with_lock(table, lock),
                PgRelation::with_lock(index, lock),
            )
        };
        // SAFETY: an open index has its rows of pg_index and pg_class, and a descriptor of its columns.
        let is_as_expected = unsafe {
            let relation = &*index.as_ptr();
            let form = &*relation.rd_index;
            let columns = index.tuple_desc();
            let mut columns = columns.iter();
            form.indrelid == table.oid()
                && form.indisvalid
                && form.indnkeyatts >= KEYS as i16
                && (*relation.rd_rel).relam == pg_sys::BTREE_AM_OID
                && (0..KEYS).all(|_| {
                    let column = columns.next();
                    column.is_some_and(|column| column.atttypid == pg_sys::INT8OID)
                })
        };
        is_as_expected.then_some(Self { table, index })
    }

    /// Returns whether another running transaction has inserted, changed or deleted a row with this key.
    pub fn is_being_written(&self, key: (i64, i64)) -> bool {
        let (table, index) = (self.table.as_ptr(), self.index.as_ptr());
        // SAFETY: both relations are open; the keys are for the index's first columns, and of their type. The scan and
        // the slot are released below, or at the end of the transaction after an ERROR.
        unsafe {
            let mut keys: [pg_sys::ScanKeyData; KEYS as usize] = std::mem::zeroed();
            for (place, value) in [key.0, key.1].into_iter().enumerate() {
                pg_sys::ScanKeyInit(
                    &mut keys[place],
                    place as i16 + 1,
                    pg_sys::BTEqualStrategyNumber as u16,
                    pg_sys::F_INT8EQ.into(),
                    value.into_datum().unwrap_or(pg_sys::Datum::from(0usize)),
                );
            }
            let mut snapshot: pg_sys::SnapshotData = std::mem::zeroed();
            snapshot.snapshot_type = pg_sys::SnapshotType::SNAPSHOT_DIRTY;
            let slot = pg_sys::table_slot_create(table, ptr::null_mut());
            let scan = begin_scan(table, index, &mut snapshot);
            pg_sys::index_rescan(scan, keys.as_mut_ptr(), KEYS, ptr::null_mut(), 0);
            let mut is_being_written = false;
            while !is_being_written
                && pg_sys::index_getnext_slot(
                    scan,
                    pg_sys::ScanDirection::ForwardScanDirection,
                    slot,
                )
            {
                // The scan stores in the snapshot which transaction is writing the row.
                let invalid = pg_sys::InvalidTransactionId;
                is_being_written = snapshot.xmin != invalid || snapshot.xmax != invalid;
            }
            pg_sys::index_endscan(scan);
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            is_being_written
        }
    }
}

/// # Safety
/// Both relations are open; the snapshot lives as long as the scan.
unsafe fn begin_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
) -> pg_sys::IndexScanDesc {
    // SAFETY: by the contract.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        return pg_sys::index_beginscan(table, index, snapshot, KEYS, 0);
        #[cfg(feature = "pg18")]
        return pg_sys::index_beginscan(table, index, snapshot, ptr::null_mut(), KEYS, 0);
    }
}
