//! Runs the conformance tests (TCK) of CESQL, from the folder `cesql/cesql_tck` of the CloudEvents specification:
//! `cargo run -p herald-core --example conformance -- --cesql DIR`.
//!
//! It prints why a test fails, and how many passed. A test gives an expression, attributes of the event, and the
//! expected value or error, or both.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use herald_core::filter::cesql::{ErrorKind, Expression, Type, Value};
use saphyr::{LoadableYamlNode, Scalar, Yaml};

const USAGE: &str = "usage: conformance --cesql DIR";

/// The attributes of an event that a test leaves open.
const ANY_EVENT: [(&str, &str); 4] = [
    ("id", "any"),
    ("source", "/any"),
    ("specversion", "1.0"),
    ("type", "any"),
];

type Attributes = BTreeMap<String, Value<'static>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the folder has tests and all of them pass.
fn run() -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [option, folder] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    if option != "--cesql" {
        return Err(USAGE.into());
    }
    let (mut passed, mut failed) = (0, 0);
    for file in files(Path::new(folder))? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&file)?;
        let documents = Yaml::load_from_str(&text).map_err(|error| format!("{name}: {error}"))?;
        let tests = documents
            .first()
            .and_then(|suite| suite.as_mapping_get("tests"));
        let tests = tests
            .and_then(Yaml::as_sequence)
            .ok_or(format!("{name} has no tests"))?;
        let before = passed;
        for test in tests {
            match judge(test) {
                Ok(()) => passed += 1,
                Err(wrong) => {
                    failed += 1;
                    println!("FAILED  {name}: {}: {wrong}", title(test));
                }
            }
        }
        println!("passed  {name}: {} of {}", passed - before, tests.len());
    }
    println!("{passed} passed, {failed} failed");
    Ok(passed > 0 && failed == 0)
}

/// Returns the YAML files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, std::io::Error>>()?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    Ok(files)
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
