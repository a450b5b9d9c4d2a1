//! Acting as somebody else for a while.

use pgrx::pg_sys;
use std::ffi::CStr;

/// While it lives, the process acts as another role; dropping it restores role, context and settings.
///
/// After an ERROR PostgreSQL restores them itself at the end of the (sub)transaction, and dropping does the same again.
#[derive(Debug)]
#[must_use = "the role changes back when this is dropped"]
pub struct Acting {
    user: pg_sys::Oid,
    context: i32,
    guc_level: Option<i32>,
}

impl Acting {
    /// Runs what follows with the rights of `owner` and no more, on the owner's own data: in a security-restricted
    /// operation, with nothing but the system's schemas in the search path.
    ///
    /// Everything that touches row values or an owner's expressions runs like this, as it may call the owner's code.
    pub fn as_owner_restricted(owner: pg_sys::Oid) -> Self {
        let mut acting = Self::switch(owner, pg_sys::SECURITY_RESTRICTED_OPERATION as i32);
        // SAFETY: the level is closed in drop, or by the abort of the transaction.
        acting.guc_level = Some(unsafe { pg_sys::NewGUCNestLevel() });
        set_local(c"search_path", c"pg_catalog, pg_temp");
        acting
    }

    /// Runs what follows with the rights of `owner`, for statements whose text and values are our own.
    pub fn as_extension_owner(owner: pg_sys::Oid) -> Self {
        Self::switch(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32)
    }

    fn switch(to: pg_sys::Oid, flags: i32) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: main thread, inside a transaction; what is read here is restored in drop.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            pg_sys::SetUserIdAndSecContext(to, context | flags);
        }
        Self {
            user,
            context,
            guc_level: None,
        }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        // SAFETY: restores what `switch` read. While unwinding from an ERROR the transaction is about to be
        // aborted, which resets settings itself: closing the level here as well would be too early for it.
        unsafe {
            if let Some(level) = self.guc_level.take()
                && !std::thread::panicking()
            {
                pg_sys::AtEOXact_GUC(false, level);
            }
            pg_sys::SetUserIdAndSecContext(self.user, self.context);
        }
    }
}

/// The role whose rights are in force now.
pub fn current_user() -> pg_sys::Oid {
    // SAFETY: a plain read.
    unsafe { pg_sys::GetUserId() }
}

/// The name of the role whose rights are in force now.
pub fn current_user_name() -> String {
    // SAFETY: the current role exists while a transaction runs as it; the name is copied at once.
    unsafe {
        let name = pg_sys::GetUserNameFromId(pg_sys::GetUserId(), true);
        if name.is_null() {
            String::new()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }
}

/// The value of `application_name` in this session.
pub fn application_name() -> String {
    // SAFETY: the variable is null or a NUL-terminated string that outlives the call.
    unsafe {
        if pg_sys::application_name.is_null() {
            String::new()
        } else {
            CStr::from_ptr(pg_sys::application_name)
                .to_string_lossy()
                .into_owned()
        }
    }
}

fn set_local(name: &CStr, value: &CStr) {
    // SAFETY: both strings are static; PGC_S_SESSION with GUC_ACTION_SAVE is undone when the caller's level closes.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

/// The role that the session acts as, whatever SECURITY DEFINER function is running.
pub fn outer_user() -> pg_sys::Oid {
    // SAFETY: a plain read.
    unsafe { pg_sys::GetOuterUserId() }
}
