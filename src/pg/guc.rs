//! Settings whose values are checked when they are set, not when they are used.

use super::identity;
use herald_core::error::Error;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::pgrx_extern_c_guard;
use pgrx::prelude::PgSqlErrorCode;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::{CStr, CString, c_char, c_void};

/// The check of a setting. It must read no file: a slow disk must not make a server start with other settings than
/// configured.
pub trait Checked {
    fn check(text: &str) -> Result<(), Error>;
}

/// Defines a text setting for superusers, checked by `C`.
pub fn define<C: Checked>(
    name: &'static CStr,
    short_description: &'static CStr,
    setting: &'static GucSetting<Option<CString>>,
    flags: GucFlags,
) {
    // SAFETY: the hook is guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            name,
            short_description,
            c"",
            setting,
            GucContext::Suset,
            flags,
            Some(hook::<C>),
            None,
            None,
        );
    }
}

unsafe extern "C-unwind" fn hook<C: Checked>(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    let check = || {
        // SAFETY: PostgreSQL passes the value as a C string, or null.
        let text = unsafe {
            match *value {
                text if text.is_null() => c"",
                text => CStr::from_ptr(text),
            }
        };
        let result = C::check(&text.to_string_lossy());
        // While the server starts, PostgreSQL would continue with the default: without the proxy, for instance. So
        // accept the value: the worker does not start with it.
        if identity::is_preloading() {
            return true;
        }
        if let Err(error) = &result {
            refuse(error);
        }
        result.is_ok()
    };
    // SAFETY: PostgreSQL calls the hook.
    unsafe { pgrx_extern_c_guard(check) }
}

/// Gives PostgreSQL the reason, for the DETAIL and the HINT of its own message.
fn refuse(error: &Error) {
    let text = |text: Option<String>| CString::new(text.unwrap_or_default()).unwrap_or_default();
    let (detail, hint) = (text(error.detail()), text(error.hint()));
    let format = |text: &CStr| {
        // SAFETY: called by a check hook; PostgreSQL copies the text.
        unsafe {
            pg_sys::pre_format_elog_string(0, std::ptr::null());
            pg_sys::format_elog_string(c"%s".as_ptr(), text.as_ptr())
        }
    };
    // SAFETY: these variables exist for check hooks, which run in the main thread.
    unsafe {
        pg_sys::GUC_check_errcode(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE as i32);
        pg_sys::GUC_check_errdetail_string = format(&detail);
        pg_sys::GUC_check_errhint_string = format(&hint);
    }
}
