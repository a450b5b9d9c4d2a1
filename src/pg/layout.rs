//! The layout of a table of the log, and whether it is still as the install script made it.
//!
//! [`Heap`](super::heap::Heap) bypasses the executor, so the table must have nothing that the executor would handle: no
//! index with an expression, trigger, constraint, rule, policy or column that a DBA added. A table with anything of
//! this kind, or anything that this module does not understand, takes the ordinary way: an INSERT.

use super::catalog;
use pgrx::{PgRelation, PgTupleDesc, pg_sys};
use std::ffi::CStr;

/// A table of the log as the install script makes it.
#[derive(Debug)]
pub struct Known {
    /// The partitioned table, which the ordinary way writes to.
    pub parent: &'static str,
    /// The written columns, in the order of the values.
    pub columns: &'static [Column],
    /// The CHECK constraints that everything written satisfies.
    pub checks: &'static [&'static str],
    /// The INSERT of the ordinary way, with a parameter for each column.
    pub insert: &'static str,
}

/// A column as the install script makes it.
#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub type_oid: pg_sys::Oid,
    pub is_required: bool,
}

/// A column that is never null.
pub const fn required(name: &'static str, type_oid: pg_sys::Oid) -> Column {
    Column {
        name,
        type_oid,
        is_required: true,
    }
}

/// A column that may be null.
pub const fn optional(name: &'static str, type_oid: pg_sys::Oid) -> Column {
    Column {
        name,
        type_oid,
        is_required: false,
    }
}

/// The positions of a table's columns, and the way its rows are written. Valid until the definition of the table or of
/// its parent changes: [`relcache::generation`](super::relcache::generation) tells, for followed tables.
#[derive(Debug, Clone)]
pub struct Layout {
    pub(super) table: pg_sys::Oid,
    pub(super) known: &'static Known,
    /// The position of each known column; `None` for the ordinary way.
    pub(super) positions: Option<Vec<usize>>,
}

impl Layout {
    pub fn of(table: pg_sys::Oid, known: &'static Known) -> Self {
        Self {
            table,
            known,
            positions: positions(table, known).filter(|_| is_plain_parent(known.parent)),
        }
    }

    pub fn table(&self) -> pg_sys::Oid {
        self.table
    }

    /// Returns whether rows are written without the executor.
    #[cfg(any(test, feature = "pg_test"))]
    pub fn is_plain(&self) -> bool {
        self.positions.is_some()
    }
}

/// Returns the positions of the known columns, if the table has nothing else that an INSERT would handle.
fn positions(table: pg_sys::Oid, known: &Known) -> Option<Vec<usize>> {
    // SAFETY: an ERROR unless the table exists; it is open and locked until the end of the scope.
    let relation = unsafe { PgRelation::with_lock(table, pg_sys::AccessShareLock as i32) };
    // SAFETY: the relation is open.
    let is_partition_of_the_heap = unsafe {
        let form = &*(*relation.as_ptr()).rd_rel;
        form.relispartition && form.relam == pg_sys::HEAP_TABLE_AM_OID
    };
    let is_plain = is_partition_of_the_heap
        && !has_triggers_or_rules(&relation)
        && has_known_checks(&relation, known.checks)
        && relation
            .indices(pg_sys::AccessShareLock as i32)
            .all(|index| is_plain_index(&index));
    is_plain
        .then(|| known_positions(&relation.tuple_desc(), known.columns))
        .flatten()
}

/// Returns whether the parent has no triggers, rules or policies: they would concern rows of the partitions, too.
fn is_plain_parent(name: &str) -> bool {
    catalog::relation(name).is_some_and(|parent| {
        // SAFETY: as in `positions`.
        let parent = unsafe { PgRelation::with_lock(parent, pg_sys::AccessShareLock as i32) };
        !has_triggers_or_rules(&parent)
    })
}

fn has_triggers_or_rules(relation: &PgRelation) -> bool {
    // SAFETY: the relation is open.
    unsafe {
        let relation = &*relation.as_ptr();
        let form = &*relation.rd_rel;
        !relation.trigdesc.is_null() || !relation.rd_rules.is_null() || form.relrowsecurity
    }
}

/// Returns whether all constraints are known by name: only a superuser could replace one under the same name, on
/// purpose.
fn has_known_checks(relation: &PgRelation, known: &[&str]) -> bool {
    // SAFETY: the relation is open; its constraints are null, or as many as `num_check`, each with a name.
    unsafe {
        let constraints = (*(*relation.as_ptr()).rd_att).constr;
        if constraints.is_null() {
            return true;
        }
        (0..usize::from((*constraints).num_check)).all(|at| {
            let name = CStr::from_ptr((*(*constraints).check.add(at)).ccname);
            known.iter().any(|text| text.as_bytes() == name.to_bytes())
        })
    }
}

/// Returns whether index entries need no evaluation: columns only, an entry for each row at once, and comparison by
/// PostgreSQL's own functions only.
fn is_plain_index(index: &PgRelation) -> bool {
    // SAFETY: an open index has its row of pg_index, and an operator family for each column of its key.
    unsafe {
        let relation = index.as_ptr();
        let form = &*(*relation).rd_index;
        let columns = usize::try_from(form.indnkeyatts).unwrap_or(0);
        let families = std::slice::from_raw_parts((*relation).rd_opfamily, columns);
        form.indisvalid
            && form.indisready
            && form.indislive
            && form.indimmediate
            && !form.indisexclusion
            && pg_sys::RelationGetIndexExpressions(relation).is_null()
            && pg_sys::RelationGetIndexPredicate(relation).is_null()
            && families
                .iter()
                .all(|family| family.to_u32() < pg_sys::FirstNormalObjectId)
    }
}

/// Returns the positions of the columns; `None` if one is missing, of another kind, or unknown: that may have a
/// default, or be computed.
fn known_positions(descriptor: &PgTupleDesc<'_>, known: &[Column]) -> Option<Vec<usize>> {
    let is_known = |attribute: &pg_sys::FormData_pg_attribute| {
        attribute.attisdropped
            || known.iter().any(|column| {
                attribute.name() == column.name
                    && attribute.atttypid == column.type_oid
                    && attribute.atttypmod == -1
                    && attribute.attgenerated == 0
                    && attribute.attidentity == 0
                    && (column.is_required || !attribute.attnotnull)
            })
    };
    if !descriptor.iter().all(is_known) {
        return None;
    }
    let position_of = |column: &Column| {
        descriptor
            .iter()
            .position(|attribute| !attribute.attisdropped && attribute.name() == column.name)
    };
    known.iter().map(position_of).collect()
}
