//! Facts from the system catalogs, read without SPI.

use pgrx::{PgRelation, pg_sys};
use std::cell::Cell;
use std::ffi::CString;

/// Returns the oid of this extension in the current database, if it is installed.
pub fn extension() -> Option<pg_sys::Oid> {
    // SAFETY: a static string; inside a transaction.
    let oid = unsafe { pg_sys::get_extension_oid(c"pg_herald".as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// Returns the role that owns the extension's tables.
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
    let event = relation("herald.event").unwrap_or(pg_sys::InvalidOid);
    super::relcache::follow(event);
    let owner = owner_of(event);
    CACHED.set(Some((super::relcache::generation(), owner)));
    owner
}

/// Returns the oid of a relation, by its name with its schema.
pub fn relation(qualified_name: &str) -> Option<pg_sys::Oid> {
    let (schema, name) = qualified_name.split_once('.')?;
    let (schema, name) = (CString::new(schema).ok()?, CString::new(name).ok()?);
    // SAFETY: NUL-terminated strings; inside a transaction.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// Returns the role that owns a relation.
pub fn owner_of(relation: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: an ERROR unless the relation exists; it is closed at the end of the scope.
    unsafe {
        let relation = PgRelation::with_lock(relation, pg_sys::AccessShareLock as i32);
        (*(*relation.as_ptr()).rd_rel).relowner
    }
}

/// Returns the names of a relation's columns.
pub fn column_names(relation: pg_sys::Oid) -> Vec<String> {
    // SAFETY: as in `qualified_name`.
    let relation = unsafe { PgRelation::with_lock(relation, pg_sys::AccessShareLock as i32) };
    let columns = relation.tuple_desc();
    let columns = columns.iter().filter(|column| !column.attisdropped);
    columns.map(|column| column.name().to_owned()).collect()
}

/// Returns the name of a relation with its schema, unquoted, as in event types.
pub fn qualified_name(relation: pg_sys::Oid) -> String {
    // SAFETY: an ERROR unless the relation exists; it is closed at the end of the scope.
    let relation = unsafe { PgRelation::with_lock(relation, pg_sys::AccessShareLock as i32) };
    format!("{}.{}", relation.namespace(), relation.name())
}

/// A table as the relation cache knows it, without a query.
#[derive(Debug)]
pub struct Table {
    pub schema: String,
    pub name: String,
    pub owner: pg_sys::Oid,
    pub row_type: pg_sys::Oid,
    /// The columns of its primary key, in key order.
    pub key_columns: Vec<String>,
}

impl Table {
    pub fn open(table: pg_sys::Oid) -> Self {
        // SAFETY: an ERROR unless the relation exists; it is closed at the end of the scope.
        let relation = unsafe { PgRelation::with_lock(table, pg_sys::AccessShareLock as i32) };
        // SAFETY: the relation is open.
        let (owner, row_type) = unsafe {
            let form = (*relation.as_ptr()).rd_rel;
            ((*form).relowner, (*form).reltype)
        };
        Self {
            schema: relation.namespace().to_owned(),
            name: relation.name().to_owned(),
            owner,
            row_type,
            key_columns: key_columns(&relation),
        }
    }
}

/// Returns the columns of the primary key, deferrable or not.
fn key_columns(relation: &PgRelation) -> Vec<String> {
    let descriptor = relation.tuple_desc();
    let name_of = |number: &i16| {
        let attribute = descriptor.get(usize::try_from(*number).ok()?.checked_sub(1)?)?;
        Some(attribute.name().to_owned())
    };
    let indexes = relation.indices(pg_sys::AccessShareLock as i32);
    for index in indexes {
        // SAFETY: an open index has its row of pg_index, with at least `indnkeyatts` columns.
        let numbers = unsafe {
            let form = (*index.as_ptr()).rd_index;
            if !(*form).indisprimary {
                continue;
            }
            let count = usize::try_from((*form).indnkeyatts).unwrap_or(0);
            (*form).indkey.values.as_slice(count)
        };
        return numbers.iter().filter_map(name_of).collect();
    }
    Vec::new()
}

/// Returns the name of the database that this process is connected to, as bytes of unknown encoding.
pub fn database_name() -> Vec<u8> {
    // SAFETY: inside a transaction; the name is null or NUL-terminated, and copied at once.
    unsafe {
        let name = pg_sys::get_database_name(pg_sys::MyDatabaseId);
        if name.is_null() {
            return Vec::new();
        }
        std::ffi::CStr::from_ptr(name).to_bytes().to_vec()
    }
}
