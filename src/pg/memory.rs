//! Memory contexts: where PostgreSQL allocates, and how long the memory lives.

use pgrx::pg_sys;
use std::ffi::CStr;

/// A memory context of pg_herald. Dropping it frees everything in it.
#[derive(Debug)]
pub struct Memory {
    context: pg_sys::MemoryContext,
}

impl Memory {
    /// Creates memory that outlives the transaction.
    pub fn of_session(name: &'static CStr) -> Self {
        // SAFETY: the top context lives as long as the process.
        unsafe { Self::below(pg_sys::TopMemoryContext, name) }
    }

    /// Creates memory that PostgreSQL frees with the current context, unless it is dropped before.
    pub fn of_statement(name: &'static CStr) -> Self {
        // SAFETY: the current context is valid.
        unsafe { Self::below(pg_sys::CurrentMemoryContext, name) }
    }

    /// # Safety
    /// `parent` is a valid memory context that outlives the value.
    unsafe fn below(parent: pg_sys::MemoryContext, name: &'static CStr) -> Self {
        // SAFETY: by the contract; PostgreSQL keeps the pointer to the name, which is static.
        let context = unsafe {
            pg_sys::AllocSetContextCreateInternal(
                parent,
                name.as_ptr(),
                0,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        };
        Self { context }
    }

    /// Makes PostgreSQL allocate here while `body` runs.
    pub fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Restore(pg_sys::MemoryContext);
        impl Drop for Restore {
            fn drop(&mut self) {
                // SAFETY: it was current before, and is an ancestor's or the caller's, so it still lives.
                unsafe { pg_sys::CurrentMemoryContext = self.0 };
            }
        }
        // SAFETY: the context lives as long as `self`; the previous one comes back even if `body` unwinds.
        let _restore = unsafe {
            let restore = Restore(pg_sys::CurrentMemoryContext);
            pg_sys::CurrentMemoryContext = self.context;
            restore
        };
        body()
    }

    /// Like [`Self::run`], but frees everything afterwards. The result of `body` must be Rust's own.
    pub fn run_and_empty<R: 'static>(&mut self, body: impl FnOnce() -> R) -> R {
        let result = self.run(body);
        // SAFETY: R is 'static and so holds no borrowed datum; nothing else is kept here.
        unsafe { pg_sys::MemoryContextReset(self.context) };
        result
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: created in `below`, deleted once: a parent that goes first takes the value's owner with it.
        unsafe { pg_sys::MemoryContextDelete(self.context) }
    }
}
