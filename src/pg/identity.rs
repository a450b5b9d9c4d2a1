//! The identity of this database in this cluster: the namespace in which transaction ids have a meaning.

use pgrx::pg_sys;

/// Returns the identity of this database in this cluster, as stored with events and windows.
///
/// It changes with a restore into another cluster, an upgrade, and a copy by `CREATE DATABASE ... TEMPLATE`.
pub fn origin() -> i64 {
    // SAFETY: the control file is mapped in every server process; MyDatabaseId is set once the process is connected.
    let (system, database) =
        unsafe { (pg_sys::GetSystemIdentifier(), pg_sys::MyDatabaseId.to_u32()) };
    (system ^ u64::from(database).wrapping_mul(0x9e37_79b9_7f4a_7c15)) as i64
}

/// Returns the oid of the database that this process is connected to.
pub fn database() -> pg_sys::Oid {
    // SAFETY: a plain read of a process-wide variable that is set before any of our code runs.
    unsafe { pg_sys::MyDatabaseId }
}

/// Returns the timeline of the write-ahead log, which a promotion raises.
pub fn timeline() -> i32 {
    // SAFETY: valid outside recovery, and the worker runs only there.
    unsafe { pg_sys::GetWALInsertionTimeLine() as i32 }
}

/// Returns the port that this server listens on.
pub fn server_port() -> u16 {
    // SAFETY: a plain read of a variable that is set before any of our code runs.
    u16::try_from(unsafe { pg_sys::PostPortNumber }).unwrap_or(0)
}

/// Returns whether pg_upgrade is restoring a catalog into this server.
pub fn is_binary_upgrade() -> bool {
    // SAFETY: a plain read of a process-wide variable.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// Returns whether `shared_preload_libraries` is loading the library: only then can shared memory be requested.
pub fn is_preloading() -> bool {
    // SAFETY: a plain read of a process-wide variable.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Makes PostgreSQL warn about misspelt `herald.*` parameters.
pub fn reserve_prefix() {
    // SAFETY: a static string; called once from `_PG_init`.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"herald".as_ptr()) }
}
