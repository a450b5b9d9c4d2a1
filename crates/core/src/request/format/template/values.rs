//! The variables that a template sees of an event.

use minijinja::{Value, context};

use super::data::{DIGITS, Data};
use crate::error::Error;
use crate::event::Event;
use crate::request::format::cloudevents::time_text;

/// Returns the variables of a template.
pub(super) fn values(event: &Event) -> Result<Value, Error> {
    let Data {
        value: data,
        digits,
    } = match event.data.as_deref() {
        None => Data::default(),
        Some(json) => Data::read(json)?,
    };
    let context = event.context();
    let text = |text: &str| Value::from(text);
    let some = |text: Option<&str>| text.map_or(Value::from(()), Value::from);
    Ok(Value::from_pairs([
        ("id", text(&event.id)),
        ("uid", text(&event.uid)),
        ("source", text(&event.source)),
        ("type", text(&event.r#type)),
        ("subject", some(event.subject.as_deref())),
        ("time", some(time_text(event.time_micros).as_deref())),
        (
            "timestamp",
            Value::from(event.time_micros.div_euclid(1_000_000)),
        ),
        ("key", some(event.key.as_deref())),
        ("tenant", some(event.tenant.as_deref())),
        ("priority", text(&event.priority)),
        ("dataschema", some(event.dataschema.as_deref())),
        ("sequence", Value::from(event.seq)),
        ("actor", some(context.actor.as_deref())),
        ("role", some(context.role.as_deref())),
        ("traceparent", some(context.traceparent.as_deref())),
        ("tracestate", some(context.tracestate.as_deref())),
        ("extensions", Value::from_pairs(event.given_extensions())),
        ("changes", changes(&data)),
        ("data", data),
        (DIGITS, Value::from_object(digits)),
    ]))
}

/// Returns `{column: {old, new}}` of a captured change; empty for other events.
fn changes(data: &Value) -> Value {
    let member = |value: &Value, name: &str| value.get_attr(name).unwrap_or_default();
    let [record, old_record, changed] =
        ["record", "old_record", "changed"].map(|name| member(data, name));
    let names = [&changed, &record, &old_record]
        .into_iter()
        .filter(|value| !value.is_undefined() && !value.is_none())
        .find_map(|value| value.try_iter().ok());
    Value::from_pairs(names.into_iter().flatten().map(|name| {
        let of = |row: &Value| {
            let value = row.get_item(&name).unwrap_or_default();
            if value.is_undefined() {
                Value::from(())
            } else {
                value
            }
        };
        let change = context! { old => of(&old_record), new => of(&record) };
        (name, change)
    }))
}
