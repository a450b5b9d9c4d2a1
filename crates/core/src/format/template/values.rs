//! What a template sees of an event.
//!
//! Data is read in one pass, level by level on the stack, so its depth is checked before.

use std::collections::BTreeMap;

use minijinja::{Value, context};

use crate::depth;
use crate::ecmascript::{is_exact, split_number};
use crate::error::Error;
use crate::event::Event;
use crate::format::cloudevents::time_text;
use crate::json::{end_of_string, is_blank};

/// The variables of a template.
pub(super) fn values(event: &Event) -> Result<Value, Error> {
    let data = match event.data.as_deref() {
        None => Value::from(()),
        Some(json) => read(json)?,
    };
    let context = event.context();
    let text = |text: &str| Value::from(text);
    let some = |text: Option<&str>| text.map_or(Value::from(()), Value::from);
    Ok(context! {
        id => text(&event.id),
        uid => text(&event.uid),
        source => text(&event.source),
        type => text(&event.r#type),
        subject => some(event.subject.as_deref()),
        time => some(time_text(event.time_micros).as_deref()),
        timestamp => event.time_micros.div_euclid(1_000_000),
        key => some(event.key.as_deref()),
        tenant => some(event.tenant.as_deref()),
        priority => text(&event.priority),
        dataschema => some(event.dataschema.as_deref()),
        sequence => event.seq,
        actor => some(context.actor.as_deref()),
        role => some(context.role.as_deref()),
        traceparent => some(context.traceparent.as_deref()),
        extensions => Value::from_pairs(event.given_extensions()),
        changes => changes(&data),
        data => data,
    })
}

/// `{column: {old, new}}` of a captured change; empty for other events.
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

/// The value of a JSON text. A number that no double holds stays what it is, to be written and not to be computed with.
fn read(json: &str) -> Result<Value, Error> {
    depth::check(json.as_bytes()).map_err(|fault| Error::Unsendable {
        fault: format!("its data is {fault}, which a template cannot read"),
    })?;
    let mut reader = Reader { rest: json };
    reader
        .value()
        .filter(|_| reader.peek().is_none())
        .ok_or_else(|| Error::Unsendable {
            fault: format!(
                "its data cannot be read after {} bytes",
                json.len() - reader.rest.len()
            ),
        })
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The next value; `None` where the text is not JSON.
    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            b'{' => {
                let mut members = BTreeMap::new();
                self.take("{")?;
                while self.has_another(b'}', members.is_empty())? {
                    let name = self.string()?;
                    self.take(":")?;
                    members.insert(name, self.value()?);
                }
                Some(Value::from_pairs(members))
            }
            b'[' => {
                let mut members = Vec::new();
                self.take("[")?;
                while self.has_another(b']', members.is_empty())? {
                    members.push(self.value()?);
                }
                Some(Value::from(members))
            }
            b'"' => self.string().map(Value::from),
            b't' => self.take("true").map(|()| Value::from(true)),
            b'f' => self.take("false").map(|()| Value::from(false)),
            b'n' => self.take("null").map(|()| Value::from(())),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Value> {
        let (text, rest) = split_number(self.rest)?;
        self.rest = rest;
        Some(match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(integer), _) => Value::from(integer),
            (_, Ok(double)) if is_exact(text) => Value::from(double),
            _ => Value::from_safe_string(text.to_owned()),
        })
    }

    fn string(&mut self) -> Option<String> {
        self.peek().filter(|byte| *byte == b'"')?;
        let end = end_of_string(self.rest.as_bytes(), 0);
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        serde_json::from_str(text).ok()
    }

    /// Whether a member follows, and not the end.
    fn has_another(&mut self, end: u8, is_first: bool) -> Option<bool> {
        if self.peek()? == end {
            self.rest = self.rest.get(1..)?;
            return Some(false);
        }
        if !is_first {
            self.take(",")?;
        }
        Some(true)
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.peek()?;
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    /// The first byte of the next token.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self
            .rest
            .trim_start_matches(|first: char| u8::try_from(first).is_ok_and(is_blank));
        self.rest.bytes().next()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::depth::MAX_LEVELS;

    fn nested(levels: usize) -> String {
        "[".repeat(levels) + &"]".repeat(levels)
    }

    #[test]
    fn data_is_read_to_the_last_level_that_is_allowed() {
        assert!(read(&nested(MAX_LEVELS)).is_ok());
        assert_eq!(
            read(&nested(MAX_LEVELS + 1)).unwrap_err().message(),
            "the event cannot be sent: its data is nested in more than 128 levels, which a template cannot read"
        );
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in [
            "",
            "[",
            "[1",
            "[1,",
            "{\"a\"",
            "{\"a\":",
            "{1:2}",
            "tru",
            "1 2",
            "[1]]",
            "\"a",
            "\"\\ud800\"",
            "01",
            "-",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    /// JSON of some depth, as text.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            ".{0,8}".prop_map(|text| serde_json::json!(text).to_string()),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5)
                    .prop_map(|members| format!("[ {} ]", members.join(" , "))),
                proptest::collection::vec(("[a-c\\\\\"]{0,2}", inner), 0..5).prop_map(|members| {
                    let members = members
                        .iter()
                        .map(|(name, value)| format!("{} :\n{value}", serde_json::json!(name)));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn data_is_read_as_any_reader_of_json_does(json in json()) {
            let expected: serde_json::Value = serde_json::from_str(&json).unwrap();
            let mut environment = minijinja::Environment::new();
            environment.add_template("t.json", "{{ value }}").unwrap();
            let written = environment.get_template("t.json").unwrap().render(context! { value => read(&json).unwrap() });
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&written.unwrap()).unwrap(), expected);
        }
    }
}
