//! How far the write-ahead log is on disk.

use pgrx::{IntoDatum, pg_sys};

/// Returns the current end of the log. Every commit that an earlier snapshot shows is before it.
pub fn written() -> u64 {
    // SAFETY: reads shared memory under its own lock; outside recovery, and the worker runs only there.
    unsafe { pg_sys::GetXLogInsertRecPtr() }
}

/// Returns whether everything up to this place is on disk. If the log ends exactly with a page, this may be false until
/// more is written.
pub fn is_flushed(written: u64) -> bool {
    flushed() >= written
}

/// Returns whether the commit of this transaction, which some snapshot shows, is on disk. It is if the session waited
/// for it; otherwise PostgreSQL may only know a later place than the commit's.
pub fn is_commit_flushed(xid: u64) -> bool {
    // SAFETY: an SQL function, called with its one argument. It returns null for a transaction so old that PostgreSQL
    // has forgotten how it ended, for which asking for the place would fail.
    let is_known = unsafe {
        pgrx::direct_function_call_as_datum(pg_sys::pg_xact_status, &[xid8(xid)]).is_some()
    };
    // SAFETY: how it ended is known; the id is cut to PostgreSQL's 32 bits, as all known ids are in one cycle.
    !is_known || unsafe { pg_sys::TransactionIdGetCommitLSN((xid as u32).into()) } <= flushed()
}

fn flushed() -> pg_sys::XLogRecPtr {
    // SAFETY: reads shared memory outside recovery; null asks for no timeline.
    unsafe { pg_sys::GetFlushRecPtr(std::ptr::null_mut()) }
}

fn xid8(xid: u64) -> Option<pg_sys::Datum> {
    (xid as i64).into_datum()
}
