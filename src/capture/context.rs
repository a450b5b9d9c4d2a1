//! What all events of a statement share: their source, and their context, which says who did it and from where.

use super::watch::Watch;
use crate::log::append::Common;
use crate::pg::user;
use crate::settings;
use herald_core::error::Error;
use herald_core::event::attributes::is_source;
use herald_core::json::push_string;
use herald_core::limits;
use pgrx::pg_sys;

/// Returns what all events of one statement share. Long values are cut or left out, and `faults` says so.
pub fn common(watch: &Watch, role: pg_sys::Oid, faults: &mut Vec<String>) -> Common {
    let context = context(role, faults);
    let source = settings::source().filter(|source| {
        let is_allowed = is_source(source);
        if !is_allowed {
            let bytes = limits::SOURCE.bytes;
            faults.push(format!(
                "herald.source was left out: it must be a URI-reference of at most {bytes} bytes"
            ));
        }
        is_allowed
    });
    Common {
        source: source.unwrap_or_else(|| watch.default_source.clone()),
        context,
    }
}

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
