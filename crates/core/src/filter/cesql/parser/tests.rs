//! Tests of the language: what binds to what, and what is refused.

use crate::filter::cesql::Expression;
use crate::filter::cesql::tests::{evaluated, fault, parse};

#[test]
fn operators_bind_by_precedence_and_from_left_to_right() {
    for (text, same) in [
        ("a OR b AND c", "(a OR b) AND c"),
        ("a AND b XOR c OR d", "((a AND b) XOR c) OR d"),
        ("a AND b = c", "a AND (b = c)"),
        ("a = b = c", "(a = b) = c"),
        ("a < b + c", "a < (b + c)"),
        ("a - b - c", "(a - b) - c"),
        ("a + b * c", "a + (b * c)"),
        ("a / b * c % d", "((a / b) * c) % d"),
        ("a * b LIKE 'x'", "a * (b LIKE 'x')"),
        ("a + b NOT IN (c)", "a + (b NOT IN (c))"),
        ("a LIKE 'x' IN (b)", "(a LIKE 'x') IN (b)"),
        ("NOT a = b", "(NOT a) = b"),
        ("NOT a LIKE 'x'", "(NOT a) LIKE 'x'"),
        ("NOT EXISTS a", "NOT (EXISTS a)"),
        ("NOT NOT a AND b", "(NOT (NOT a)) AND b"),
        ("- a * b", "(- a) * b"),
        ("-a IN (b)", "(-a) IN (b)"),
        ("- NOT a", "-(NOT a)"),
        ("EXISTS a AND b", "(EXISTS a) AND b"),
        ("a IN (b OR c, d)", "a IN ((b OR c), d)"),
        ("ABS(a) + b", "(ABS(a)) + b"),
        ("(a)", "a"),
    ] {
        assert_eq!(parse(text), parse(same), "{text}");
    }
    for (text, other) in [
        ("a - (b - c)", "a - b - c"),
        ("a AND (b OR c)", "a AND b OR c"),
        ("NOT (a = b)", "NOT a = b"),
        ("-(10)", "-10"),
    ] {
        assert_ne!(parse(text), parse(other), "{text}");
    }
}

#[test]
fn a_sign_belongs_to_the_digits_behind_it_where_an_operand_is_expected() {
    for (text, expected) in [
        ("-2147483648", i32::MIN),
        ("+2147483647", i32::MAX),
        ("007", 7),
        ("--10", 10),
        ("- -10", 10),
        ("- 10", -10),
        ("4-1", 3),
        ("4 -1", 3),
        ("4--1", 5),
        ("4 + +1", 5),
        ("-4 + -1", -5),
        ("level-1", 2),
    ] {
        assert_eq!(evaluated(text), (expected.into(), None), "{text}");
    }
}

#[test]
fn keywords_functions_and_attributes_are_read_in_any_case() {
    for text in [
        "exists Type and not False",
        "tYpE lIKE 'x' oR uPpEr(TYPE) = 'ORDER.PAID'",
        "tRuE xor 1 in (2)",
    ] {
        assert_eq!(evaluated(text), (true.into(), None), "{text}");
    }
    assert_eq!(evaluated("123A = 'odd'"), (true.into(), None));
    assert_eq!(evaluated("'True'"), ("True".into(), None));
}

#[test]
fn a_fault_says_what_was_expected_and_where() {
    for (text, expected) in [
        ("", "the expression is empty at character 1"),
        (" \n", "the expression is empty at character 1"),
        ("AND", r#"expected an operand, not "AND" at character 1"#),
        ("a AND", r#"expected an operand after "AND" at character 6"#),
        (
            "'ł' = = b",
            r#"expected an operand after "=", not "=" at character 7"#,
        ),
        (
            "a b",
            r#"expected an operator after "a", not "b" at character 3"#,
        ),
        (
            "'a' 'b'",
            "expected an operator after 'a', not 'b' at character 5",
        ),
        ("a)", r#"unmatched ")" at character 2"#),
        (
            "(a",
            r#"expected an operator or ")" after "a" at character 3"#,
        ),
        (
            "()",
            r#"expected an operand after "(", not ")" at character 2"#,
        ),
        ("ABC(", r#"expected an operand after "(" at character 5"#),
        (
            "ABS(1,)",
            r#"expected an operand after ",", not ")" at character 7"#,
        ),
        (
            "ABS(1 2)",
            r#"expected an operator, "," or ")" after "1", not "2" at character 7"#,
        ),
        (
            "a LIKE 123",
            r#"expected a string after "LIKE", not "123" at character 8"#,
        ),
        (
            "a LIKE b",
            r#"expected a string after "LIKE", not "b" at character 8"#,
        ),
        (
            "a NOT LIKE",
            r#"expected a string after "LIKE" at character 11"#,
        ),
        (
            "a NOT b",
            r#"expected "LIKE" or "IN" after "NOT", not "b" at character 7"#,
        ),
        (
            "a IN ()",
            r#"expected an operand after "(", not ")" at character 7"#,
        ),
        (
            "a IN 1",
            r#"expected "(" after "IN", not "1" at character 6"#,
        ),
        (
            "EXISTS 'a'",
            "expected an attribute after \"EXISTS\", not 'a' at character 8",
        ),
        (
            "EXISTS (a)",
            r#"expected an attribute after "EXISTS", not "(" at character 8"#,
        ),
        ("+ 5", r#"expected an operand, not "+" at character 1"#),
        ("+a", r#"expected an operand, not "+" at character 1"#),
        (
            "2147483648",
            "integer 2147483648 is out of range at character 1",
        ),
        (
            "a = -2147483649",
            "integer -2147483649 is out of range at character 5",
        ),
        (
            "- 2147483648",
            "integer 2147483648 is out of range at character 3",
        ),
        (
            "my_ext = 1",
            r#"invalid attribute name "my_ext" at character 1"#,
        ),
        (
            "EXISTS data",
            "an expression cannot read an event's data at character 8",
        ),
        ("F1(a)", r#"invalid function name "F1" at character 1"#),
        ("_F(a)", r#"invalid function name "_F" at character 1"#),
        (
            "a == b",
            r#"expected an operand after "=", not "=" at character 4"#,
        ),
        ("a.b", "unexpected character '.' at character 2"),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
    let long = "x".repeat(1_000);
    assert!(fault(&format!("a {long}")).len() < 100);
}

#[test]
fn a_filter_must_be_a_boolean_of_known_functions() {
    let refusal = |text| Expression::parse_filter(text).unwrap_err().to_string();
    for (text, expected) in [
        (
            "type = LOVER('A')",
            "unknown function LOVER, perhaps you meant LOWER at character 8",
        ),
        (
            "TOTALLY_NEW() OR a",
            "unknown function TOTALLY_NEW at character 1",
        ),
        (
            "a = SUBSTRING(b)",
            "SUBSTRING takes 2 or 3 arguments, not 1 at character 5",
        ),
        (
            "CONCAT_WS() = ''",
            "CONCAT_WS takes at least 1 argument, not 0 at character 1",
        ),
        (
            "'true'",
            "a filter must give a boolean, not a string at character 1",
        ),
        (
            "a + 1",
            "a filter must give a boolean, not an integer at character 1",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
        assert!(Expression::parse(text).is_ok(), "{text}");
    }
    for text in [
        "urgent",
        "BOOL(a)",
        "IS_INT(a)",
        "NOT a",
        "a IN (1) AND TRUE",
    ] {
        assert!(Expression::parse_filter(text).is_ok(), "{text}");
    }
}

#[test]
fn the_attributes_of_all_parts_are_found() {
    let text = "NOT a AND ABS(-b) IN (c, LEFT(d, e)) OR EXISTS f OR NONE(g) LIKE 'h' AND A = 'i'";
    let expression = parse(text);
    let names: Vec<&str> = expression.attributes().into_iter().collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g"]);
}
