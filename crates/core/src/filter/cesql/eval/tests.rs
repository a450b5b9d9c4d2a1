//! Tests of the values that expressions have, and of those beside errors.

use crate::filter::cesql::tests::{evaluated, event, parse};
use crate::filter::cesql::{ErrorKind, Value};

fn assert_gives<V: Into<Value<'static>>>(cases: impl IntoIterator<Item = (&'static str, V)>) {
    for (text, expected) in cases {
        assert_eq!(evaluated(text), (expected.into(), None), "{text}");
    }
}

#[test]
fn operands_are_cast_to_what_an_operator_takes() {
    assert_gives([
        ("'5' + TRUE", 6),
        ("hop * level", 15),
        ("- urgent", -1),
        ("7 / -2", -3),
        ("-7 / 2", -3),
        ("7 % -2", 1),
        ("-7 % 2", -1),
        ("-2147483648 % -1", 0),
        ("12 / 3 / 2 * 5", 10),
    ]);
    assert_gives([
        ("hop = 5", true),
        ("hop != 5", false),
        ("5 = '05'", false),
        ("'05' = 5", true),
        ("TRUE = 'TRUE'", false),
        ("'TRUE' = TRUE", true),
        ("2 = TRUE", true),
        ("TRUE = 2", false),
        ("'a' = 'A'", false),
        ("'a' <> 'A'", true),
        ("hop < '10'", true),
        ("'9' >= 10", false),
        ("NOT 0", true),
        ("NOT 'False'", true),
        ("1 XOR 'true'", false),
        ("level AND urgent", true),
        ("'false' OR 0", false),
        ("234 LIKE '23_'", true),
        ("TRUE LIKE 'tr%'", true),
        ("subject NOT LIKE '____/%'", false),
        ("1 IN ('2', '1')", true),
        ("'1' IN (2, 1)", true),
        ("'TRUE' IN (TRUE)", false),
        ("level NOT IN (4, hop)", true),
    ]);
}

#[test]
fn and_and_or_evaluate_their_right_side_only_if_it_decides() {
    assert_gives([
        ("FALSE AND 1 / 0", false),
        ("TRUE OR missing", true),
        ("FALSE AND missing OR TRUE", true),
        ("TRUE OR missing AND TRUE", true),
        ("1 IN (1, 1 / 0)", true),
        ("EXISTS missing AND missing = 1", false),
    ]);
    for text in [
        "TRUE AND 1 / 0",
        "FALSE OR 1 / 0",
        "TRUE XOR 1 / 0",
        "1 IN (1 / 0, 1)",
    ] {
        assert_eq!(
            evaluated(text),
            (false.into(), Some(ErrorKind::Math)),
            "{text}"
        );
    }
}

#[test]
fn an_event_has_the_required_attributes_and_those_it_gives() {
    assert_gives([
        (
            "EXISTS id AND EXISTS Source AND EXISTS specversion AND EXISTS type",
            true,
        ),
        ("EXISTS subject", true),
        ("EXISTS time", false),
        ("NOT EXISTS time", true),
        ("EXISTS 123a", true),
    ]);
}

#[test]
fn functions_count_characters() {
    assert_gives([
        ("LENGTH(subject)", 7),
        ("LENGTH(TRUE)", 4),
        ("LENGTH('')", 0),
        ("ABS(-10)", 10),
        ("ABS('-2147483647')", i32::MAX),
    ]);
    assert_gives([
        ("CONCAT()", ""),
        ("CONCAT(1, TRUE, 'a')", "1truea"),
        ("CONCAT_WS('-', 'a', '', 1)", "a--1"),
        ("CONCAT_WS('-')", ""),
        ("CONCAT_WS('-', 'a')", "a"),
        ("LOWER('ÀB')", "àb"),
        ("UPPER('straße')", "STRASSE"),
        ("TRIM('\u{2003}\t a b \u{a0}\n')", "a b"),
        ("TRIM(' \n ')", ""),
        ("TRIM('\u{0}a\u{200b}')", "\u{0}a\u{200b}"),
        ("LEFT(subject, 2)", "Łó"),
        ("LEFT('abc', 0)", ""),
        ("LEFT('abc', 2147483647)", "abc"),
        ("RIGHT(subject, 4)", "ź/42"),
        ("RIGHT('abc', 0)", ""),
        ("RIGHT('abc', 10)", "abc"),
        ("SUBSTRING(subject, 2)", "ódź/42"),
        ("SUBSTRING(subject, 2, 2)", "ód"),
        ("SUBSTRING(subject, -4, 1)", "ź"),
        ("SUBSTRING('abc', 3)", "c"),
        ("SUBSTRING('abc', -3)", "abc"),
        ("SUBSTRING('abc', 0)", ""),
        ("SUBSTRING('abc', 2, 0)", ""),
        ("SUBSTRING('abc', 2, 2147483647)", "bc"),
        ("SUBSTRING('', 0, 1)", ""),
        ("SUBSTRING(LEFT(UPPER('abc'), '2'), 2)", "B"),
        ("STRING(-1)", "-1"),
    ]);
    assert_gives([
        ("INT(hop) = 5", true),
        ("BOOL(-50)", true),
        ("IS_INT('+1')", true),
        ("IS_INT('1.0')", false),
        ("IS_INT(TRUE)", true),
        ("IS_BOOL('fAlse')", true),
        ("IS_BOOL('no')", false),
        ("IS_BOOL(2)", true),
    ]);
}

#[test]
fn an_error_stands_beside_the_value_that_the_specification_demands() {
    use ErrorKind::{Cast, FunctionEvaluation, Math, MissingAttribute, MissingFunction};
    for (text, value, kind) in [
        ("5 / 0", Value::from(0), Math),
        ("5 % 0", 0.into(), Math),
        ("2147483647 + 1", 0.into(), Math),
        ("-2147483648 - 1", 0.into(), Math),
        ("65536 * 65536", 0.into(), Math),
        ("-2147483648 / -1", 0.into(), Math),
        ("--2147483648", 0.into(), Math),
        ("ABS(-2147483648)", i32::MAX.into(), Math),
        ("'a' + 1", 0.into(), Cast),
        ("-'a'", 0.into(), Cast),
        ("NOT 'a'", false.into(), Cast),
        ("'a' AND TRUE", false.into(), Cast),
        ("'a' < 'b'", false.into(), Cast),
        ("'a' != 1", false.into(), Cast),
        ("1 NOT IN ('a')", false.into(), Cast),
        ("INT('ABC')", 0.into(), Cast),
        ("BOOL('ABC')", false.into(), Cast),
        ("LEFT('abc', 'x')", "".into(), Cast),
        ("missing", false.into(), MissingAttribute),
        ("missing / 0", 0.into(), MissingAttribute),
        ("-missing", 0.into(), MissingAttribute),
        ("NOT missing", false.into(), MissingAttribute),
        ("missing = ''", false.into(), MissingAttribute),
        ("missing <> 2", false.into(), MissingAttribute),
        ("missing NOT LIKE 'a'", false.into(), MissingAttribute),
        ("missing NOT IN ('a')", false.into(), MissingAttribute),
        ("1 NOT IN (missing)", false.into(), MissingAttribute),
        ("missing OR TRUE", false.into(), MissingAttribute),
        ("CONCAT('a', missing)", "".into(), MissingAttribute),
        ("LENGTH(missing)", 0.into(), MissingAttribute),
        ("NONE(missing)", false.into(), MissingFunction),
        ("ABS()", false.into(), MissingFunction),
        ("NONE() + 1", 0.into(), MissingFunction),
        ("LEFT('abc', -2)", "abc".into(), FunctionEvaluation),
        (
            "RIGHT(subject, -2147483648)",
            "Łódź/42".into(),
            FunctionEvaluation,
        ),
        ("LEFT(LEFT('abc', -2), 1)", "".into(), FunctionEvaluation),
        ("RIGHT('abc', -2) = 'abc'", false.into(), FunctionEvaluation),
        ("SUBSTRING('abc', 4)", "".into(), FunctionEvaluation),
        ("SUBSTRING('abc', -4, 1)", "".into(), FunctionEvaluation),
        (
            "SUBSTRING('abc', -2147483648)",
            "".into(),
            FunctionEvaluation,
        ),
        ("SUBSTRING('abc', 0, -1)", "".into(), FunctionEvaluation),
        ("SUBSTRING('', 1)", "".into(), FunctionEvaluation),
    ] {
        assert_eq!(evaluated(text), (value, Some(kind)), "{text}");
        let event = event();
        assert!(!parse(text).is_true(&event), "{text}");
    }
}

#[test]
fn an_error_names_what_is_wrong() {
    for (text, expected) in [
        ("1 % 0", "division by zero"),
        ("2147483647 + 1", "integer out of range"),
        ("subject + 1", r#""Łódź/42" is not an integer"#),
        ("NOT 'x'", r#""x" is not a boolean"#),
        ("Missing = 1", r#"the event has no attribute "missing""#),
        ("none(1, 2)", "no function NONE takes 2 arguments"),
        (
            "SUBSTRING('a', 3)",
            "SUBSTRING: the position is outside the string",
        ),
        (
            "RIGHT('a', -1)",
            "RIGHT: the number of characters is negative",
        ),
    ] {
        let (expression, event) = (parse(text), event());
        let error = expression.evaluate(&event).error.unwrap();
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let long = parse(&format!("-'{}'", "é".repeat(1_000)));
    let event = event();
    assert!(long.evaluate(&event).error.unwrap().to_string().len() < 120);
}
