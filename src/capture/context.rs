//! Who did it, from where: what is stored beside an event and is the same for all events of a statement.

use crate::pg::user;
use crate::settings;
use herald_core::json::push_string;
use pgrx::pg_sys;

/// The context as JSON: the role that did it, the application, and trace and actor where the session set them.
pub fn context(role: pg_sys::Oid) -> String {
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
    for (member, value) in settings::session_context() {
        add(member, &value.unwrap_or_default());
    }
    if json.is_empty() {
        json.push('{');
    }
    json.push('}');
    json
}
