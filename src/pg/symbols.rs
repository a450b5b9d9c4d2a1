//! Functions of the server that the bindings leave out, cannot pass as a pointer, or guard one by one where several are
//! called in a row.

use pgrx::pg_sys;
use std::ffi::c_char;

unsafe extern "C-unwind" {
    pub fn datum_image_eq(
        left: pg_sys::Datum,
        right: pg_sys::Datum,
        by_value: bool,
        length: i32,
    ) -> bool;

    pub fn table_open(table: pg_sys::Oid, lock_mode: pg_sys::LOCKMODE) -> pg_sys::Relation;

    pub fn table_close(relation: pg_sys::Relation, lock_mode: pg_sys::LOCKMODE);

    pub fn heap_form_tuple(
        descriptor: pg_sys::TupleDesc,
        values: *mut pg_sys::Datum,
        nulls: *mut bool,
    ) -> pg_sys::HeapTuple;

    pub fn heap_freetuple(tuple: pg_sys::HeapTuple);

    pub fn CatalogOpenIndexes(relation: pg_sys::Relation) -> pg_sys::CatalogIndexState;

    pub fn CatalogTupleInsertWithInfo(
        relation: pg_sys::Relation,
        tuple: pg_sys::HeapTuple,
        indexes: pg_sys::CatalogIndexState,
    );

    pub fn CatalogCloseIndexes(indexes: pg_sys::CatalogIndexState);

    pub fn nextval_internal(sequence: pg_sys::Oid, check_permissions: bool) -> i64;

    pub fn find_all_inheritors(
        parent: pg_sys::Oid,
        lock_mode: pg_sys::LOCKMODE,
        parent_counts: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;

    #[allow(clippy::too_many_arguments)]
    pub fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        text: *const c_char,
        read_only_tree: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        parameters: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        destination: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );

    // The server's version, unlike the client library's, has another name from PostgreSQL 18 on.
    #[cfg_attr(feature = "pg18", link_name = "pqsignal_be")]
    pub fn pqsignal(signal: i32, handler: unsafe extern "C-unwind" fn(i32));

    pub fn enable_timeout_after(timeout: i32, delay_millis: i32);

    pub fn disable_timeout(timeout: i32, keep_indicator: bool);

    pub fn PostmasterIsAliveInternal() -> bool;

    pub fn SignalHandlerForShutdownRequest(signal: i32);

    pub fn SignalHandlerForConfigReload(signal: i32);
}

/// The timeout of the parameter statement_timeout, in the enumeration of `utils/timeout.h`, the same from PostgreSQL 15
/// to 18.
pub const STATEMENT_TIMEOUT: i32 = 3;
