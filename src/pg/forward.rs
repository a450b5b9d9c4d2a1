//! Functions that run with the extension's rights and still know their caller.
//!
//! A SECURITY DEFINER function hides its caller: SQL can only name the session's role, so a superuser who calls another
//! user's function would lend it a superuser's rights. Here the rights change one step later, in C, while the caller's
//! role is still in force.

use super::transaction::subtransaction;
use super::{catalog, user};
use pgrx::pg_sys::AsPgCStr;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::ffi::CStr;

thread_local! {
    static CALLERS: RefCell<Vec<pg_sys::Oid>> = const { RefCell::new(Vec::new()) };
}

/// Returns the role that called the function that [`with_rights_wrapper`] is running, if any.
pub fn caller() -> Option<pg_sys::Oid> {
    CALLERS.with_borrow(|callers| callers.last().copied())
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_with_rights_wrapper() -> &'static pg_sys::Pg_finfo_record {
    static V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// Runs as the body of herald.NAME: calls herald_internal._NAME with the same arguments and the rights of the extension's
/// owner.
///
/// # Safety
/// Only PostgreSQL may call it, as a function of the version-1 convention.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn with_rights_wrapper(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: `fcinfo` is valid during the call.
    unsafe { call_as_owner(fcinfo) }
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_answer_soon_wrapper() -> &'static pg_sys::Pg_finfo_record {
    static V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// Runs as the body of a herald.NAME that answers even under locks, declared with a `lock_timeout`. Works like
/// [`with_rights_wrapper`]; but if a catalog that herald_internal._NAME needs to begin is locked, calls
/// herald_internal._NAME_blocked with the rights of the caller, because those of another role would have to be looked up.
///
/// # Safety
/// Only PostgreSQL may call it, as a function of the version-1 convention.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn answer_soon_wrapper(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: `fcinfo` is valid during the call.
    unsafe {
        let function = (*(*fcinfo).flinfo).fn_oid;
        let looked_up = subtransaction(|| {
            let owner = catalog::extension_owner();
            let _owner = user::Acting::as_extension_owner(owner);
            // The function's settings need this before the function can catch anything.
            pg_sys::superuser_arg(owner);
            inner(function, "");
        });
        match looked_up {
            Ok(()) => call_as_owner(fcinfo),
            Err(error) if error.sqlstate == LOCK_NOT_AVAILABLE => {
                call(inner(function, "_blocked"), fcinfo)
            }
            Err(error) => {
                error.raise();
                unreachable!("an ERROR does not return")
            }
        }
    }
}

const LOCK_NOT_AVAILABLE: &str = "55P03";

/// # Safety
/// `fcinfo` belongs to a call of herald.NAME.
unsafe fn call_as_owner(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    struct Called;
    impl Drop for Called {
        fn drop(&mut self) {
            CALLERS.with_borrow_mut(Vec::pop);
        }
    }
    // SAFETY: as the caller guarantees.
    unsafe {
        CALLERS.with_borrow_mut(|callers| callers.push(user::current_user()));
        let _called = Called;
        let _owner = user::Acting::as_extension_owner(catalog::extension_owner());
        // Look it up as the owner: the reader of a view may lack privileges on the schema that the view reads.
        call(inner((*(*fcinfo).flinfo).fn_oid, ""), fcinfo)
    }
}

/// Calls another function in place of the current one.
///
/// # Safety
/// `fcinfo` belongs to a call, and `target` has the same signature.
unsafe fn call(target: pg_sys::Oid, fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: `fcinfo` is valid during the call. The copy has the same arguments and result information and a function
    // of the same signature; it is allocated by PostgreSQL, in the memory of the call.
    unsafe {
        let info = pg_sys::palloc0(size_of::<pg_sys::FmgrInfo>()).cast::<pg_sys::FmgrInfo>();
        pg_sys::fmgr_info_cxt(target, info, pg_sys::CurrentMemoryContext);
        (*info).fn_expr = (*(*fcinfo).flinfo).fn_expr;
        let size = size_of::<pg_sys::FunctionCallInfoBaseData>()
            + (*fcinfo).nargs as usize * size_of::<pg_sys::NullableDatum>();
        let call = pg_sys::palloc0(size).cast::<u8>();
        std::ptr::copy_nonoverlapping(fcinfo.cast::<u8>(), call, size);
        let call: pg_sys::FunctionCallInfo = call.cast();
        (*call).flinfo = info;
        (*call).isnull = false;
        let function = (*info)
            .fn_addr
            .expect("fmgr_info found the function's address");
        let result = pg_sys::ffi::pg_guard_ffi_boundary(|| function(call));
        (*fcinfo).isnull = (*call).isnull;
        result
    }
}

/// Returns the function of herald_internal with the arguments of `shell`, named as it between an underscore and `ending`.
fn inner(shell: pg_sys::Oid, ending: &str) -> pg_sys::Oid {
    // SAFETY: `shell` is being called, so its name exists; what PostgreSQL allocates lives in the memory of the call. An
    // ERROR if the inner function does not exist.
    unsafe {
        let name = CStr::from_ptr(pg_sys::get_func_name(shell)).to_string_lossy();
        let name = format!("_{name}{ending}");
        let (mut types, mut count) = (std::ptr::null_mut(), 0);
        pg_sys::get_func_signature(shell, &mut types, &mut count);
        let mut names: *mut pg_sys::List = std::ptr::null_mut();
        for part in ["herald_internal", &name] {
            names = pg_sys::lappend(names, pg_sys::makeString(part.as_pg_cstr()).cast());
        }
        pg_sys::LookupFuncName(names, count, types, false)
    }
}
