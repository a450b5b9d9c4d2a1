//! Acts as another role for a while.

use pgrx::pg_sys;
use std::ffi::CStr;

/// While it lives, the process acts as another role; dropping it restores role, context and settings.
///
/// After an ERROR PostgreSQL itself restores them at the end of the (sub)transaction; dropping then does the same
/// again.
#[derive(Debug)]
#[must_use = "the role changes back when this is dropped"]
pub struct Acting {
    user: pg_sys::Oid,
    context: i32,
    _settings: Option<FixedSettings>,
}

impl Acting {
    /// Switches to the rights of `owner` and no more, for work on the owner's own data: in a security-restricted
    /// operation, and under fixed settings, whose end also undoes any that the owner's code sets.
    ///
    /// Everything that touches row values or an owner's expressions runs like this, as it may call the owner's code.
    pub fn as_owner_restricted(owner: pg_sys::Oid) -> Self {
        let settings = FixedSettings::enter();
        Self::switch(
            owner,
            pg_sys::SECURITY_RESTRICTED_OPERATION as i32,
            Some(settings),
        )
    }

    /// Switches to the rights of `owner`, for statements whose text and values are pg_herald's own.
    ///
    /// Their names and operators are looked up in pg_catalog only, despite the user's search path.
    pub fn as_extension_owner(owner: pg_sys::Oid) -> Self {
        let settings = (!has_fixed_path()).then(FixedSettings::enter);
        Self::switch(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32, settings)
    }

    fn switch(to: pg_sys::Oid, flags: i32, settings: Option<FixedSettings>) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: main thread, inside a transaction; what is read here is restored in drop.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            pg_sys::SetUserIdAndSecContext(to, context | flags);
        }
        Self {
            user,
            context,
            _settings: settings,
        }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        // SAFETY: restores what `switch` read.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) }
    }
}

/// While it lives, the search path has only the system's schemas, and the settings that decide how values are written
/// are the same as in every other session.
#[derive(Debug)]
#[must_use = "the settings come back when this is dropped"]
struct FixedSettings {
    level: i32,
}

impl FixedSettings {
    /// Sets only what differs: looking costs less than setting.
    fn enter() -> Self {
        // SAFETY: the level is closed in drop, or by the abort of the transaction.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        if !has_fixed_path() {
            set_local(c"search_path", FIXED_PATH);
        }
        // SAFETY: plain reads of the variables behind the settings, on the main thread; the name of a time zone is null
        // or NUL-terminated.
        unsafe {
            let zone = pg_sys::pg_get_timezone_name(pg_sys::session_timezone);
            if zone.is_null() || ![c"UTC", c"Etc/UTC", c"GMT"].contains(&CStr::from_ptr(zone)) {
                set_local(c"TimeZone", c"UTC");
            }
            if pg_sys::DateStyle != pg_sys::USE_ISO_DATES as i32
                || pg_sys::DateOrder != pg_sys::DATEORDER_MDY as i32
            {
                set_local(c"DateStyle", c"ISO, MDY");
            }
            if pg_sys::IntervalStyle != pg_sys::INTSTYLE_POSTGRES as i32 {
                set_local(c"IntervalStyle", c"postgres");
            }
            if pg_sys::extra_float_digits < 1 {
                set_local(c"extra_float_digits", c"1");
            }
            if pg_sys::quote_all_identifiers {
                set_local(c"quote_all_identifiers", c"off");
            }
            if bytea_output != BYTEA_OUTPUT_HEX {
                set_local(c"bytea_output", c"hex");
            }
        }
        Self { level }
    }
}

impl Drop for FixedSettings {
    fn drop(&mut self) {
        // While unwinding from an ERROR, the transaction is about to be aborted, which resets the settings: closing the
        // level here, too, would be too early.
        if !std::thread::panicking() {
            // SAFETY: closes the level that `enter` opened.
            unsafe { pg_sys::AtEOXact_GUC(false, self.level) }
        }
    }
}

const FIXED_PATH: &CStr = c"pg_catalog, pg_temp";

// From utils/bytea.h, which the bindings leave out.
const BYTEA_OUTPUT_HEX: i32 = 1;
unsafe extern "C" {
    static bytea_output: i32;
}

fn has_fixed_path() -> bool {
    // SAFETY: the variable is null or a NUL-terminated string.
    unsafe {
        !pg_sys::namespace_search_path.is_null()
            && CStr::from_ptr(pg_sys::namespace_search_path) == FIXED_PATH
    }
}

/// Returns the role whose rights are in force.
pub fn current_user() -> pg_sys::Oid {
    // SAFETY: a plain read.
    unsafe { pg_sys::GetUserId() }
}

/// Returns the name of a role; empty if it is gone.
pub fn name_of(role: pg_sys::Oid) -> String {
    // SAFETY: inside a transaction; the name is null or NUL-terminated, and copied at once.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            String::new()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }
}

/// Returns the value of `application_name` in this session.
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

/// Returns the role that the session acts as, even inside a SECURITY DEFINER function.
pub fn outer_user() -> pg_sys::Oid {
    // SAFETY: a plain read.
    unsafe { pg_sys::GetOuterUserId() }
}

/// Returns whether the running code acts on behalf of another role: an index's function, or an expression of a watch.
pub fn is_restricted() -> bool {
    // SAFETY: a plain read.
    unsafe { pg_sys::InSecurityRestrictedOperation() }
}
