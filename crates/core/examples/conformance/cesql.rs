//! The conformance tests (TCK) of CESQL: each gives an expression, attributes of the event, and the expected value or error,
//! or both.

use std::collections::BTreeMap;

use herald_core::filter::cesql::{ErrorKind, Expression, Type, Value};
use saphyr::{LoadableYamlNode, Scalar, Yaml};

use crate::Verdict;

/// The attributes of an event that a test leaves open.
const ANY_EVENT: [(&str, &str); 4] = [
    ("id", "any"),
    ("source", "/any"),
    ("specversion", "1.0"),
    ("type", "any"),
];

type Attributes = BTreeMap<String, Value<'static>>;

/// Plays the tests of a YAML file.
pub fn play(text: &str) -> Result<Vec<Verdict>, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    let tests = documents
        .first()
        .and_then(|suite| suite.as_mapping_get("tests"))
        .and_then(Yaml::as_sequence)
        .ok_or("it has no tests")?;
    let verdict = |test: &Yaml| Verdict {
        title: title(test).to_owned(),
        wrong: judge(test).err(),
    };
    Ok(tests.iter().map(verdict).collect())
}

fn title<'t>(test: &'t Yaml) -> &'t str {
    test.as_mapping_get("name")
        .and_then(Yaml::as_str)
        .unwrap_or("without a name")
}

/// Returns what is wrong, if the expression does not do what its test says.
fn judge(test: &Yaml) -> Result<(), String> {
    // A bare TRUE or -10 is no string in YAML. As text, it means the same to CESQL.
    let text = value(test.as_mapping_get("expression").ok_or("no expression")?)?;
    let Ok(Value::String(text)) = text.cast(Type::String) else {
        return Err("the expression is no text".to_owned());
    };
    let expected_error = match test.as_mapping_get("error") {
        Some(error) => Some(error.as_str().ok_or("the error has no name")?),
        None => None,
    };
    let expression = match Expression::parse(&text) {
        Ok(expression) => expression,
        Err(_) if expected_error == Some(ErrorKind::Parse.name()) => return Ok(()),
        Err(fault) => return Err(fault.to_string()),
    };
    let attributes = attributes(test)?;
    let evaluation = expression.evaluate(&attributes);
    let error = evaluation.error.as_ref().map(|error| error.kind().name());
    if error != expected_error {
        return Err(format!(
            "{text} gives the error {error:?}, not {expected_error:?}"
        ));
    }
    if let Some(expected) = test.as_mapping_get("result") {
        let expected = value(expected)?;
        if evaluation.value != expected {
            return Err(format!(
                "{text} is {:?}, not {expected:?}",
                evaluation.value
            ));
        }
    }
    Ok(())
}

fn attributes(test: &Yaml) -> Result<Attributes, String> {
    let mut attributes = Attributes::new();
    if let Some(event) = test.as_mapping_get("event") {
        add(&mut attributes, event)?;
    } else {
        attributes.extend(ANY_EVENT.map(|(name, value)| (name.to_owned(), value.into())));
    }
    if let Some(overrides) = test.as_mapping_get("eventOverrides") {
        add(&mut attributes, overrides)?;
    }
    Ok(attributes)
}

fn add(attributes: &mut Attributes, event: &Yaml) -> Result<(), String> {
    for (name, attribute) in event.as_mapping().ok_or("the event is no mapping")? {
        let name = name.as_str().ok_or("an attribute's name is no string")?;
        attributes.insert(name.to_owned(), value(attribute)?);
    }
    Ok(())
}

fn value(yaml: &Yaml) -> Result<Value<'static>, String> {
    match yaml {
        Yaml::Value(Scalar::String(text)) => Ok(Value::String(text.clone().into_owned().into())),
        Yaml::Value(Scalar::Boolean(boolean)) => Ok(Value::Boolean(*boolean)),
        Yaml::Value(Scalar::Integer(integer)) => i32::try_from(*integer)
            .map(Value::Integer)
            .map_err(|_| format!("{integer} is out of range")),
        other => Err(format!("{other:?} is no value of CESQL")),
    }
}
