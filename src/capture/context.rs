//! Who did it, from where: what is stored beside an event and is the same for all events of a statement.

use crate::pg::user;
use crate::settings;
use herald_core::json::push_string;
use pgrx::pg_sys;

/// The context as JSON: the role that did it, the application, and trace and actor where the session set them.
pub fn context(role: pg_sys::Oid) -> String {
    let mut json = String::with_capacity(128);
    json.push('{');
    let mut add = |member: &str, value: &str| {
        if !value.is_empty() {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(member);
            push_string(&mut json, value);
        }
    };
    add("\"role\":", &user::name_of(role));
    add("\"application\":", &user::application_name());
    let (traceparent, actor) = settings::trace_context();
    add("\"traceparent\":", &traceparent.unwrap_or_default());
    add("\"actor\":", &actor.unwrap_or_default());
    json.push('}');
    json
}
