//! The CONTEXT of an error: what was being done when it was raised.

use pgrx::pg_sys;
use std::ffi::{CString, c_char, c_int, c_void};

/// What is being done, in words.
pub trait Doing {
    fn words(&self) -> String;
}

/// Runs `body`. The CONTEXT of an ERROR in it says what `doing` says at that moment.
pub fn within<D: Doing, R>(doing: &D, body: impl FnOnce() -> R) -> R {
    /// Takes the callback back, also while unwinding: nobody may call it once its place on the stack is gone.
    struct Restore(*mut pg_sys::ErrorContextCallback);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: main thread; callers are nested, so this is what was there before.
            unsafe { pg_sys::error_context_stack = self.0 }
        }
    }
    // SAFETY: main thread; the callback and `doing` outlive `body`, and `Restore` takes the callback back before that.
    unsafe {
        let mut callback = pg_sys::ErrorContextCallback {
            previous: pg_sys::error_context_stack,
            callback: Some(say::<D>),
            arg: std::ptr::from_ref(doing).cast_mut().cast(),
        };
        let _restore = Restore(callback.previous);
        pg_sys::error_context_stack = &raw mut callback;
        body()
    }
}

// SAFETY (as a C callback): called by errfinish on the main thread, with the argument that `within` gave.
unsafe extern "C-unwind" fn say<D: Doing>(doing: *mut c_void) {
    unsafe extern "C-unwind" {
        fn errcontext_msg(format: *const c_char, ...) -> c_int;
    }
    // SAFETY: as above; both strings are NUL-terminated, and PostgreSQL copies the text.
    unsafe {
        let words = (*doing.cast::<D>()).words().replace('\0', "");
        if let Ok(words) = CString::new(words) {
            errcontext_msg(c"%s".as_ptr(), words.as_ptr());
        }
    }
}
