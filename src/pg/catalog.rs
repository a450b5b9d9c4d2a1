//! Facts from the system catalogs, without SPI.

use pgrx::{PgRelation, pg_sys};
use std::cell::Cell;

/// The oid of this extension in the current database, if it is installed.
pub fn extension() -> Option<pg_sys::Oid> {
    // SAFETY: a static string; inside a transaction.
    let oid = unsafe { pg_sys::get_extension_oid(c"pg_herald".as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The role that owns the extension's tables.
pub fn extension_owner() -> pg_sys::Oid {
    thread_local! {
        static CACHED: Cell<Option<(u64, pg_sys::Oid)>> = const { Cell::new(None) };
    }
    let generation = super::relcache::generation();
    if let Some((at, owner)) = CACHED.get()
        && at == generation
    {
        return owner;
    }
    let event = relation_in_herald("event").unwrap_or(pg_sys::InvalidOid);
    super::relcache::follow(event);
    let owner = owner_of(event);
    CACHED.set(Some((super::relcache::generation(), owner)));
    owner
}

/// The oid of a relation in schema herald.
pub fn relation_in_herald(name: &str) -> Option<pg_sys::Oid> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: NUL-terminated strings; inside a transaction.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"herald".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The role that owns a relation.
pub fn owner_of(relation: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: the relation exists (an ERROR says otherwise), and is closed at the end of the scope.
    unsafe {
        let relation = PgRelation::with_lock(relation, pg_sys::AccessShareLock as i32);
        (*(*relation.as_ptr()).rd_rel).relowner
    }
}

/// The names of a relation's columns.
pub fn column_names(relation: pg_sys::Oid) -> Vec<String> {
    // SAFETY: as in `qualified_name`.
    let relation = unsafe { PgRelation::with_lock(relation, pg_sys::AccessShareLock as i32) };
    let columns = relation.tuple_desc();
    let columns = columns.iter().filter(|column| !column.attisdropped);
    columns.map(|column| column.name().to_owned()).collect()
}

/// The name of a relation with its schema, unquoted, as in event types.
pub fn qualified_name(relation: pg_sys::Oid) -> String {
    // SAFETY: the relation exists (an ERROR says otherwise), and is closed at the end of the scope.
    let relation = unsafe { PgRelation::with_lock(relation, pg_sys::AccessShareLock as i32) };
    format!("{}.{}", relation.namespace(), relation.name())
}
