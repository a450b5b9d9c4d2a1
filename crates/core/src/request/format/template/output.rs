//! Writes a template's values, within the size that a body can have.
//!
//! A list may hold the same value a thousand times and costs nothing until it is written; minijinja writes a value as a
//! whole, and counts it afterwards. So this module counts it before. It does not count other ways to make text of a
//! list, such as `~`: their memory is unbounded, and so tenants have no templates.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, Value, escape_formatter, filters,
};

use super::data::Digits;
use super::json::{Layout, to_json};

/// The bytes that one step of fuel pays for, as minijinja counts.
const BYTES_A_STEP: u64 = 64;
/// The maximum number of blanks by which `tojson` indents a level.
const MAX_INDENT: usize = 16;
/// The cost of a value other than a text or a container.
const SMALL_BYTES: u64 = 4;

/// Checks values before they are written, or become text.
pub(super) fn guard(environment: &mut Environment<'static>) {
    environment.set_formatter(|output, state, value| {
        check(state, value)?;
        match state.auto_escape() {
            AutoEscape::Json if !value.is_safe() => {
                output.write_str(&json(state, value, Layout::Compact)?)?;
                Ok(())
            }
            _ => match Digits::of(state, value) {
                Some(digits) => output.write_str(&digits).map_err(Error::from),
                None => escape_formatter(output, state, value),
            },
        }
    });
    environment.add_filter("string", |state: &State, value: &Value| {
        check(state, value)?;
        match Digits::of(state, value) {
            Some(digits) => Ok(Value::from(digits)),
            None => filters::string(state, value),
        }
    });
    environment.add_filter("pprint", |state: &State, value: &Value| {
        check(state, value)?;
        Ok::<_, Error>(filters::pprint(value))
    });
    environment.add_filter(
        "tojson",
        |state: &State, value: &Value, indent: Option<Value>, options: Kwargs| {
            check(state, value)?;
            let indent = match indent {
                Some(indent) => Some(indent),
                None => options.get("indent")?,
            };
            options.assert_all_used()?;
            let json = json(state, value, layout(indent)?)?;
            Ok::<_, Error>(Value::from_safe_string(safe_in_html(&json)))
        },
    );
}

fn json(state: &State, value: &Value, layout: Layout) -> Result<String, Error> {
    to_json(&|number| Digits::of(state, number), value, &layout)
}

/// Returns the layout that the argument of `tojson` asks for.
fn layout(indent: Option<Value>) -> Result<Layout, Error> {
    let Some(indent) = indent else {
        return Ok(Layout::Spaced);
    };
    match bool::try_from(indent.clone()) {
        Ok(true) => Ok(Layout::Lines(2)),
        Ok(false) => Ok(Layout::Spaced),
        Err(_) => match usize::try_from(indent)? {
            blanks @ 0..=MAX_INDENT => Ok(Layout::Lines(blanks)),
            _ => Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("tojson indents by {MAX_INDENT} blanks at most"),
            )),
        },
    }
}

/// Makes JSON safe inside HTML: in JSON, these characters occur only in strings.
fn safe_in_html(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\'' => safe.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => safe.push(character),
        }
    }
    safe
}

/// Refuses a value that the remaining fuel does not pay for. minijinja itself takes the fuel, after writing.
pub(super) fn check(state: &State, value: &Value) -> Result<(), Error> {
    let (_, fuel) = state.fuel_levels().unwrap_or_default();
    let mut left = fuel.saturating_mul(BYTES_A_STEP);
    if fits(value, &mut left) {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::OutOfFuel,
            "a value is too long to be written",
        ))
    }
}

/// Returns whether a value fits into what is left, and subtracts its size. Recurses as deep as values are: see
/// `bounds`.
fn fits(value: &Value, left: &mut u64) -> bool {
    let mut take = |bytes: u64| match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    };
    match value.kind() {
        ValueKind::String => take(value.as_str().map_or(0, str::len) as u64),
        ValueKind::Bytes => take(value.as_bytes().map_or(0, <[u8]>::len) as u64),
        ValueKind::Map => {
            take(SMALL_BYTES)
                && value.try_iter().is_ok_and(|mut names| {
                    names.all(|name| {
                        fits(&name, left)
                            && value.get_item(&name).is_ok_and(|value| fits(&value, left))
                    })
                })
        }
        ValueKind::Seq | ValueKind::Iterable => {
            take(SMALL_BYTES)
                && value
                    .try_iter()
                    .is_ok_and(|mut members| members.all(|member| fits(&member, left)))
        }
        _ => take(SMALL_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str) -> Result<String, Error> {
        let mut environment = Environment::new();
        guard(&mut environment);
        super::super::filters::add(&mut environment);
        environment.set_fuel(Some(200_000));
        environment.render_named_str("t.json", source, ())
    }

    #[test]
    fn a_value_takes_what_is_written_of_it() {
        let text = Value::from("x".repeat(1000));
        let list = Value::from(vec![text.clone(), text.clone()]);
        let map = Value::from_pairs([("x".repeat(1000), text)]);
        for value in [list, map] {
            assert!(fits(&value, &mut (SMALL_BYTES + 2000)));
            assert!(!fits(&value, &mut (SMALL_BYTES + 1999)));
        }
    }

    #[test]
    fn what_would_take_gigabytes_is_never_written() {
        for source in [
            r#"{{ ["x" * 100000] * 100000 }}"#,
            r#"{{ (["x" * 100000] * 100000) | tojson }}"#,
            r#"{{ (["x" * 100000] * 100000) | string }}"#,
            r#"{{ (["x" * 100000] * 100000) | pprint }}"#,
            r#"{{ (["x" * 100000] * 100000) | b64encode }}"#,
            r#"{{ (["x" * 100000] * 100000) | sha256 }}"#,
            r#"{{ ("x" * 20000000) | sha256 }}"#,
            "{{ [1] | tojson(indent=1000000000) }}",
            "{{ [1] | tojson(1000000000) }}",
        ] {
            let error = rendered(source).unwrap_err();
            let is_indented = source.starts_with("{{ [1]");
            let expected = if is_indented {
                ErrorKind::InvalidOperation
            } else {
                ErrorKind::OutOfFuel
            };
            assert_eq!(error.kind(), expected, "{source}: {error}");
        }
    }

    #[test]
    fn small_values_are_written_as_ever() {
        for (source, expected) in [
            (
                r#"{{ {"a": [1, "b", none, 1.5, true]} }}"#,
                r#"{"a":[1,"b",null,1.5,true]}"#,
            ),
            ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
            ("{{ [1, 2] | tojson(16) | length }}", "40"),
            ("{{ [1, 2] | tojson }}", "[1, 2]"),
            ("{{ [1] | string | length }}", "3"),
        ] {
            assert_eq!(rendered(source).unwrap(), expected, "{source}");
        }
    }
}
