//! The context stored with each event: who did it and from where, the same for all events of a statement.

use crate::pg::user;
use crate::settings;
use herald_core::error::Error;
use herald_core::json::push_string;
use pgrx::pg_sys;

/// Returns the context as JSON: the role, the application, and the trace and actor that the session set. A long setting
/// is cut, and a sentence in `faults` says so.
pub fn context(role: pg_sys::Oid, faults: &mut Vec<String>) -> String {
    let mut json = String::with_capacity(128);
    let mut add = |member: &str, value: &str| {
        if !value.is_empty() {
            json.push(if json.is_empty() { '{' } else { ',' });
            push_string(&mut json, member);
            json.push(':');
            push_string(&mut json, value);
        }
    };
    add("role", &user::name_of(role));
    add("application", &user::application_name());
    for (member, limit, value) in settings::session_context() {
        let value = value.unwrap_or_default();
        match limit.cut(&value) {
            None => add(member, &value),
            Some(short) => {
                add(member, &short);
                faults.push(format!("{} was cut to {} bytes", limit.name, limit.bytes));
            }
        }
    }
    if json.is_empty() {
        json.push('{');
    }
    json.push('}');
    json
}

/// Returns an error if a setting of this session is too long.
pub fn check_context() -> Result<(), Error> {
    for (_, limit, value) in settings::session_context() {
        limit.check(&value.unwrap_or_default())?;
    }
    Ok(())
}
