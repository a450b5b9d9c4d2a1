//! Who did it, from where: what is stored beside an event and is the same for all events of a statement.

use crate::pg::user;
use crate::settings;
use herald_core::json::push_string;
use pgrx::pg_sys;

/// The context as JSON: the role that did it, the application, and trace and actor where the session set them.
pub fn context(role: pg_sys::Oid) -> String {
    let (traceparent, actor) = settings::trace_context();
    let members = [
        ("role", Some(user::name_of(role))),
        ("application", Some(user::application_name())),
        ("traceparent", traceparent),
        ("actor", actor),
    ];
    let mut json = String::from("{");
    for (name, value) in members {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            if json.len() > 1 {
                json.push(',');
            }
            push_string(&mut json, name);
            json.push(':');
            push_string(&mut json, &value);
        }
    }
    json.push('}');
    json
}
