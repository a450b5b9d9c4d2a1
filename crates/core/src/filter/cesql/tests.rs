//! Tests of the bounds: of the text, nesting, stack, memory and time. And what the tests of the parts share.

use std::collections::BTreeMap;
use std::thread;

use super::*;

/// An event with a few attributes of each type.
pub(super) fn event() -> BTreeMap<String, Value<'static>> {
    let attributes = [
        ("type", Value::from("order.paid")),
        ("subject", Value::from("Łódź/42")),
        ("level", Value::from(3)),
        ("urgent", Value::from(true)),
        ("hop", Value::from("5")),
        ("123a", Value::from("odd")),
    ];
    attributes
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

pub(super) fn parse(text: &str) -> Expression {
    Expression::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

pub(super) fn fault(text: &str) -> String {
    match Expression::parse(text) {
        Ok(expression) => panic!("{text} is {expression}"),
        Err(fault) => fault.to_string(),
    }
}

/// Returns the value of an expression, and the kind of its error.
pub(super) fn evaluated(text: &str) -> (Value<'static>, Option<ErrorKind>) {
    let (expression, event) = (parse(text), event());
    let evaluation = expression.evaluate(&event);
    let value = match evaluation.value {
        Value::String(text) => Value::String(text.into_owned().into()),
        Value::Integer(integer) => integer.into(),
        Value::Boolean(boolean) => boolean.into(),
    };
    (value, evaluation.error.map(|error| error.kind()))
}

#[test]
fn a_text_may_have_the_limit_and_no_byte_more() {
    let text = |bytes: usize| format!("'{}'", "é".repeat(bytes / 2 - 1));
    assert!(Expression::parse(&text(MAX_TEXT_BYTES)).is_ok());
    let fault = Expression::parse(&text(MAX_TEXT_BYTES + 2)).unwrap_err();
    assert_eq!(fault.message, "the expression is longer than 16384 bytes");
    assert_eq!(fault.position, 1 + MAX_TEXT_BYTES / 2);
}

/// Returns texts with this many levels of each thing that nests, and the position of the last level.
fn nested(levels: usize) -> Vec<(String, usize)> {
    let shapes = [
        ("(", "1", ")"),
        ("NOT ", "1", ""),
        ("- ", "1", ""),
        ("-", "a", ""),
        ("ABS(", "1", ")"),
        ("1 IN (", "1", ")"),
        ("1 + (", "1", ")"),
        ("a OR b = c + d * (", "1", ")"),
    ];
    shapes
        .map(|(open, middle, close)| {
            let text = open.repeat(levels) + middle + &close.repeat(levels);
            let place = open.rfind('(').unwrap_or(0);
            (text, (levels - 1) * open.len() + place + 1)
        })
        .into()
}

#[test]
fn nesting_may_have_the_limit_and_no_level_more() {
    for (text, _) in nested(MAX_NESTING) {
        assert!(Expression::parse(&text).is_ok(), "{text}");
    }
    for (text, position) in nested(MAX_NESTING + 1) {
        let fault = Expression::parse(&text).unwrap_err();
        assert_eq!(fault.message, "nested in more than 64 levels", "{text}");
        assert_eq!(fault.position, position, "{text}");
    }
    for (text, _) in nested(2_000) {
        let text = text.get(..MAX_TEXT_BYTES).unwrap_or(&text);
        assert!(Expression::parse(text).is_err());
    }
}

#[test]
fn what_is_not_nested_in_each_other_does_not_add_up() {
    let text = ["(NOT a)"; 200].join(" AND ") + " AND " + &["ABS(b)"; 200].join(" = ");
    assert!(Expression::parse(&text).is_ok());
}

/// Without optimisation, too. Backends and the worker have more stack than this.
#[test]
fn deep_and_long_expressions_need_little_stack() {
    let walk = || {
        let texts = nested(MAX_NESTING).into_iter().map(|(text, _)| text);
        let long = [
            " + 1",
            " AND a",
            " LIKE 'a'",
            " NOT IN (1)",
            " = b",
            " * - 1",
        ];
        let long = long.map(|step| {
            let steps = (MAX_TEXT_BYTES - 1) / step.len();
            "1".to_owned() + &step.repeat(steps)
        });
        for text in texts.chain(long) {
            let expression = parse(&text);
            let copy = expression.clone();
            let event = event();
            copy.is_true(&event);
            copy.attributes();
            assert_eq!(copy, expression);
            assert!(!format!("{copy:?}{copy}").is_empty());
        }
    };
    let thread = thread::Builder::new().stack_size(1 << 20);
    thread.spawn(walk).unwrap().join().unwrap();
}

#[test]
fn functions_build_up_to_the_limit_in_one_evaluation() {
    let event = BTreeMap::from([("x".to_owned(), Value::String("x".repeat(1 << 15).into()))]);
    let joined = |number| format!("CONCAT({})", vec!["x"; number].join(", "));
    let fits = MAX_BUILT_BYTES >> 15;
    for (text, expected) in [
        (joined(fits), None),
        (joined(fits + 1), Some(ErrorKind::FunctionEvaluation)),
        (
            format!("CONCAT({}, 'x')", joined(fits / 2)),
            Some(ErrorKind::FunctionEvaluation),
        ),
        (["UPPER(x)"; 32].join(" = "), None),
        (
            ["UPPER(x)"; 33].join(" = "),
            Some(ErrorKind::FunctionEvaluation),
        ),
        (vec!["TRIM(LEFT(x, LENGTH(x)))"; 500].join(" = "), None),
    ] {
        let expression = parse(&text);
        let error = expression.evaluate(&event).error;
        assert_eq!(error.map(|error| error.kind()), expected, "{text}");
    }
}

#[test]
fn comparing_takes_bounded_time() {
    let event = BTreeMap::from([("x".to_owned(), Value::String("x".repeat(8_192).into()))]);
    let expression = parse(&format!("x LIKE '%{}y%'", "_x".repeat(2_000)));
    let error = expression.evaluate(&event).error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Generic);
    assert_eq!(
        error.to_string(),
        "LIKE compares more than 4194304 characters"
    );
}
