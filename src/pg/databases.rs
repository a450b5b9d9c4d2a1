//! The databases of the cluster, as seen by a process that is connected to none.

use super::transaction::{TransactionError, transaction};
use pgrx::pg_sys;

/// Returns the databases that a worker may connect to: all but templates and those that refuse connections.
pub fn connectable() -> Result<Vec<pg_sys::Oid>, TransactionError> {
    transaction(scan)
}

fn scan() -> Vec<pg_sys::Oid> {
    let mut found = Vec::new();
    // SAFETY: inside a transaction; pg_database is a shared catalog, readable without a database. Each tuple is read
    // as the struct of that catalog while the scan stands on it.
    unsafe {
        let relation =
            pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::systable_beginscan(
            relation,
            pg_sys::InvalidOid,
            false,
            std::ptr::null_mut(),
            0,
            std::ptr::null_mut(),
        );
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let database = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if database.datallowconn && !database.datistemplate {
                found.push(database.oid);
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
    found
}

/// Returns the oid of the database with this name.
pub fn by_name(name: &str) -> Option<pg_sys::Oid> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: a NUL-terminated string; inside a transaction.
    let oid = unsafe { pg_sys::get_database_oid(name.as_ptr(), true) };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// Returns whether the current role owns the database, or has its owner's rights.
pub fn is_owned(database: pg_sys::Oid) -> bool {
    owns(pg_sys::DatabaseRelationId, database)
}

/// Returns whether the current role owns this extension in the current database, or has its owner's rights.
pub fn is_extension_owned() -> bool {
    super::catalog::extension().is_some_and(|oid| owns(pg_sys::ExtensionRelationId, oid))
}

fn owns(class: pg_sys::Oid, object: pg_sys::Oid) -> bool {
    // SAFETY: inside a transaction.
    unsafe {
        let role = pg_sys::GetUserId();
        #[cfg(feature = "pg15")]
        let is_owner = if class == pg_sys::DatabaseRelationId {
            pg_sys::pg_database_ownercheck(object, role)
        } else {
            pg_sys::pg_extension_ownercheck(object, role)
        };
        #[cfg(not(feature = "pg15"))]
        let is_owner = pg_sys::object_ownercheck(class, object, role);
        is_owner
    }
}
