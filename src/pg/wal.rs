//! How far the write-ahead log is on disk.

use pgrx::{IntoDatum, pg_sys};

/// The end of the log now: a place behind everything that is written. Every commit that a snapshot of before shows is in
/// front of it.
pub fn written() -> u64 {
    // SAFETY: reads shared memory under its own lock; outside recovery, where alone the worker runs.
    unsafe { pg_sys::GetXLogInsertRecPtr() }
}

/// Whether everything up to this place is on disk. A log that ends exactly with a page may seem not to be, until more is
/// written.
pub fn is_flushed(written: u64) -> bool {
    flushed() >= written
}

/// Whether the commit of this transaction, which some snapshot shows, is on disk: that of a session that waited for it
/// is. Of one that did not, some later place may be asked for in its stead.
pub fn is_commit_flushed(xid: u64) -> bool {
    // SAFETY: a function of SQL's, called with the one argument it has. It says nothing of a transaction so old that
    // PostgreSQL has forgotten how it ended, where asking for its place would fail.
    let is_known = unsafe {
        pgrx::direct_function_call_as_datum(pg_sys::pg_xact_status, &[xid8(xid)]).is_some()
    };
    // SAFETY: how it ended is known; the id is cut to what PostgreSQL counts by, as all that are known are in one cycle.
    !is_known || unsafe { pg_sys::TransactionIdGetCommitLSN((xid as u32).into()) } <= flushed()
}

fn flushed() -> pg_sys::XLogRecPtr {
    // SAFETY: reads shared memory outside recovery; the timeline is not asked for.
    unsafe { pg_sys::GetFlushRecPtr(std::ptr::null_mut()) }
}

fn xid8(xid: u64) -> Option<pg_sys::Datum> {
    (xid as i64).into_datum()
}
