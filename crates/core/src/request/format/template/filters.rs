//! The filters of templates besides minijinja's own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use sha2::{Digest, Sha256};

use super::data::{Captured, Digits};
use super::output;

/// The default format of `date`, as JavaScript writes times.
const ISO_MILLIS: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";
/// The maximum size of a date's format, and of a date, in bytes.
const MAX_FORMAT_BYTES: usize = 128;
const MAX_DATE_BYTES: usize = 64;

/// Adds the filters.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("date", date);
    environment.add_filter("b64encode", |state: &State, value: &Value| {
        let encoded = STANDARD.encode(bytes(state, value)?);
        Ok::<_, Error>(encoded)
    });
    environment.add_filter("sha256", |state: &State, value: &Value| {
        let digest = Sha256::digest(bytes(state, value)?);
        let hex = digest.iter().map(|byte| format!("{byte:02x}"));
        Ok::<String, Error>(hex.collect())
    });
}

/// Formats a time in UTC by strftime. Leaves a missing value as it is.
fn date(value: &Value, format: Option<&str>) -> Result<Value, Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(value.clone());
    }
    let format = format.unwrap_or(ISO_MILLIS);
    if format.len() > MAX_FORMAT_BYTES {
        return Err(refused("the format of a date is too long"));
    }
    let items: Vec<Item> = StrftimeItems::new(format).collect();
    if items.contains(&Item::Error) {
        return Err(refused("the format of a date is not one of strftime"));
    }
    let time = time(value).ok_or_else(|| refused("a value is not a time"))?;
    let text = time.format_with_items(items.iter()).to_string();
    Ok(Value::from(text))
}

/// Reads a time as PostgreSQL writes it in JSON, or seconds since 1970. Without a zone, it is UTC.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    if value.is_number() {
        let seconds = f64::try_from(value.clone()).ok()?;
        return DateTime::from_timestamp_micros((seconds * 1e6).round() as i64);
    }
    let text = value.as_str().filter(|text| text.len() <= MAX_DATE_BYTES)?;
    let local = |text: &str| {
        let text = text.replacen(' ', "T", 1);
        text.parse::<NaiveDateTime>().ok()
    };
    let at_midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN);
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .ok()
        .or_else(|| local(text).map(|time| time.and_utc()))
        .or_else(|| {
            text.parse()
                .ok()
                .map(at_midnight)
                .map(|time| time.and_utc())
        })
}

/// Returns the bytes of a text, a number, or captured data. Other values have no text of their own, and the text of a
/// list of lists may take gigabytes.
fn bytes(state: &State, value: &Value) -> Result<Vec<u8>, Error> {
    output::check(state, value)?;
    if let Some(captured) = value.downcast_object_ref::<Captured>() {
        return Ok(captured.text().into());
    }
    if let Some(digits) = Digits::of(state, value) {
        return Ok(digits.into_bytes());
    }
    match value.kind() {
        ValueKind::Bytes => Ok(value.as_bytes().unwrap_or_default().into()),
        ValueKind::String | ValueKind::Number => Ok(value.to_string().into_bytes()),
        _ => Err(refused(
            "there is no text; use tojson for a list or an object",
        )),
    }
}

fn refused(words: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment<'static> {
        let mut environment = Environment::new();
        add(&mut environment);
        environment.set_fuel(Some(200_000));
        environment
    }

    fn rendered(source: &str) -> Result<String, Error> {
        environment().render_named_str("t.txt", source, ())
    }

    #[test]
    fn a_date_is_written_as_the_format_says() {
        for (source, expected) in [
            (
                r#"{{ "2026-01-02T03:04:05.678901+00:00" | date }}"#,
                "2026-01-02T03:04:05.678Z",
            ),
            (
                r#"{{ "2026-01-02T03:04:05Z" | date }}"#,
                "2026-01-02T03:04:05.000Z",
            ),
            (
                r#"{{ "2026-01-02T03:04:05+02:00" | date("%H:%M") }}"#,
                "01:04",
            ),
            (
                r#"{{ "2026-01-02 03:04:05.5" | date("%T%.3f") }}"#,
                "03:04:05.500",
            ),
            (r#"{{ "2026-01-02" | date("%d.%m.%Y") }}"#, "02.01.2026"),
            ("{{ 1767323045 | date }}", "2026-01-02T03:04:05.000Z"),
            ("{{ 1767323045.25 | date }}", "2026-01-02T03:04:05.250Z"),
            ("{{ none | date }}", "None"),
        ] {
            assert_eq!(rendered(source).unwrap(), expected, "{source}");
        }
        for source in [
            r#"{{ "infinity" | date }}"#,
            r#"{{ "2026-01-02" | date("%Q") }}"#,
            "{{ 1e300 | date }}",
        ] {
            assert!(rendered(source).is_err(), "{source}");
        }
        let long = format!("{{{{ 0 | date('{}') }}}}", "%Y".repeat(MAX_FORMAT_BYTES));
        assert!(rendered(&long).is_err());
        // The error does not show a value that is not a time, which may be of any length.
        let error = rendered(r#"{{ ("x" * 100000) | date }}"#).unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
    }

    #[test]
    fn text_is_encoded_and_hashed() {
        for (source, expected) in [
            (r#"{{ "Bäume" | b64encode }}"#, "QsOkdW1l"),
            (
                r#"{{ "abc" | sha256 }}"#,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            ("{{ 42 | b64encode }}", "NDI="),
        ] {
            assert_eq!(rendered(source).unwrap(), expected, "{source}");
        }
        for source in ["{{ missing | sha256 }}", "{{ [1] | b64encode }}"] {
            assert!(rendered(source).is_err(), "{source}");
        }
        let captured = r#"{"b": 1.50}"#;
        let data = super::super::data::Data::read(captured).unwrap().value;
        let written = environment().render_named_str(
            "t.txt",
            "{{ data | b64encode }}",
            minijinja::context! { data => data },
        );
        assert_eq!(written.unwrap(), STANDARD.encode(captured));
    }
}
