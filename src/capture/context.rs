//! Who did it, from where: what is stored beside an event and is the same for all events of a statement.

use crate::pg::user;
use crate::settings;
use herald_core::json::push_string;

/// The context as JSON: role, application, and trace and actor where the session set them.
pub fn context() -> String {
    let (traceparent, actor) = settings::trace_context();
    let members = [
        ("role", Some(user::current_user_name())),
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
