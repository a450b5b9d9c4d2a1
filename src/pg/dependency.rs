//! Dependencies between objects that no SQL command records.

use pgrx::pg_sys;

/// Records that dropping `table` drops `function` with it, silently.
///
/// The function's arguments have the table's row type, for which PostgreSQL records only that the table must not be
/// dropped. With both dependencies, DROP TABLE works, while dropping a column that the function uses is still refused.
pub fn drop_function_with_table(function: pg_sys::Oid, table: pg_sys::Oid) {
    let address = |class, object| pg_sys::ObjectAddress {
        classId: class,
        objectId: object,
        objectSubId: 0,
    };
    let function = address(pg_sys::ProcedureRelationId, function);
    let table = address(pg_sys::RelationRelationId, table);
    // SAFETY: both objects exist in this transaction; the addresses outlive the call.
    unsafe {
        pg_sys::recordDependencyOn(&function, &table, pg_sys::DependencyType::DEPENDENCY_AUTO)
    }
}
