//! How far the write-ahead log has come.

use pgrx::pg_sys;

/// A place in the write-ahead log, behind everything that was written when it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Written(pg_sys::XLogRecPtr);

/// The end of the log now. Every commit that a snapshot of before shows is in front of it.
pub fn written() -> Written {
    // SAFETY: reads shared memory under its own lock; outside recovery, where alone the worker runs.
    Written(unsafe { pg_sys::GetXLogInsertRecPtr() })
}

impl Written {
    /// Whether all of it is on disk. A log that ends exactly with a page may seem not to be, until more is written.
    pub fn is_flushed(self) -> bool {
        // SAFETY: as above; the timeline is not asked for.
        unsafe { pg_sys::GetFlushRecPtr(std::ptr::null_mut()) >= self.0 }
    }
}
