//! What attributes must be for an expression to be true, so that an index can find the expressions to evaluate.

use super::ast::{Node, Step};
use super::operator::Operator;
use super::value::Value;

/// The attributes that are always strings: of others, 5 and '5' are equal.
const STRINGS: [&str; 9] = [
    "datacontenttype",
    "dataschema",
    "id",
    "partitionkey",
    "source",
    "specversion",
    "subject",
    "time",
    "type",
];

/// What an attribute must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needed {
    OneOf(Vec<String>),
    /// It must begin so.
    Prefix(String),
}

/// Returns what attributes must be for an expression to be true.
pub(super) fn needs_of(root: &Node) -> Vec<(&str, Needed)> {
    let mut needs = Vec::new();
    add_needs(root, &mut needs);
    needs
}

fn add_needs<'n>(node: &'n Node, needs: &mut Vec<(&'n str, Needed)>) {
    let Node::Chain { first, steps } = node else {
        return;
    };
    let mut of_chain = Vec::new();
    // The steps apply from left to right, and each AND needs both of its sides. A step of any other kind needs nothing of
    // what is before it.
    for (place, step) in steps.iter().enumerate() {
        match step {
            Step::Binary(Operator::And, right) => {
                if place == 0 {
                    add_needs(first, &mut of_chain);
                }
                add_needs(right, &mut of_chain);
            }
            step => {
                of_chain.clear();
                if place == 0 {
                    of_chain.extend(need(first, step));
                }
            }
        }
    }
    needs.append(&mut of_chain);
}

/// Returns what a comparison of an attribute with constants needs.
fn need<'n>(first: &'n Node, step: &'n Step) -> Option<(&'n str, Needed)> {
    match (first, step) {
        (Node::Attribute(name), Step::Binary(Operator::Equal, Node::Literal(text)))
        | (Node::Literal(text), Step::Binary(Operator::Equal, Node::Attribute(name))) => {
            Some((string(name)?, Needed::OneOf(vec![text_of(text)?])))
        }
        (
            Node::Attribute(name),
            Step::In {
                members,
                is_negated: false,
            },
        ) => {
            let texts = members.iter().map(|member| match member {
                Node::Literal(text) => text_of(text),
                _ => None,
            });
            Some((string(name)?, Needed::OneOf(texts.collect::<Option<_>>()?)))
        }
        (
            Node::Attribute(name),
            Step::Like {
                pattern,
                is_negated: false,
            },
        ) => {
            let head = pattern.head();
            (!head.is_empty()).then_some((string(name)?, Needed::Prefix(head)))
        }
        _ => None,
    }
}

/// Returns the name of an attribute that is always a string.
fn string(name: &str) -> Option<&str> {
    STRINGS.contains(&name).then_some(name)
}

fn text_of(value: &Value<'_>) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone().into_owned()),
        // '007' is equal to 7.
        Value::Integer(_) | Value::Boolean(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::Expression;
    use super::*;

    fn needs(text: &str) -> String {
        let expression = Expression::parse(text).unwrap();
        let needs = expression.needs();
        let needs = needs.iter().map(|(name, needed)| match needed {
            Needed::OneOf(texts) => format!("{name} = {}", texts.join("|")),
            Needed::Prefix(prefix) => format!("{name} ^ {prefix}"),
        });
        needs.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn comparisons_that_must_hold_are_found() {
        for (text, expected) in [
            ("type = 'a'", "type = a"),
            ("'a' = type", "type = a"),
            ("type IN ('a', 'b')", "type = a|b"),
            ("type LIKE 'a%'", "type ^ a"),
            (r"type LIKE 'a\%_'", "type ^ a%"),
            (
                "type = 'a' AND subject = 'b' AND id = 'c'",
                "type = a, subject = b, id = c",
            ),
            (
                "type = 'a' AND (subject = 'b' AND level > 3)",
                "type = a, subject = b",
            ),
            ("level > 3 OR type = 'a' AND subject = 'b'", "subject = b"),
        ] {
            assert_eq!(needs(text), expected, "{text}");
        }
    }

    #[test]
    fn what_need_not_hold_or_is_converted_is_left_out() {
        for text in [
            "TRUE",
            "EXISTS subject",
            "type != 'a'",
            "NOT (type = 'a')",
            "type = 'a' OR subject = 'b'",
            "type = 'a' XOR subject = 'b'",
            "type = 'a' AND subject = 'b' OR id = 'c'",
            "subject = 7",
            "subject = TRUE",
            "level = '7'",
            "subject IN ('a', 7)",
            "subject IN ('a', type)",
            "type NOT IN ('a', 'b')",
            "type NOT LIKE 'a%'",
            "type LIKE '%a'",
            "(type = 'a') = FALSE",
            "type = 'a' = FALSE",
            "UPPER(type) = 'A'",
        ] {
            assert_eq!(needs(text), "", "{text}");
        }
    }

    /// Returns a random expression over two attributes that are strings, and one that is not.
    fn expression() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "type = 'a'",
            "'b' = type",
            "type != 'a'",
            "subject IN ('a', 'b')",
            "subject NOT IN ('a')",
            "subject LIKE 'a%'",
            "type LIKE 'b_'",
            "level > 3",
            "level = '7'",
            "subject = type",
            "EXISTS level",
            "missing = 'a'",
            "subject = 7",
        ]);
        leaf.prop_map(str::to_owned)
            .prop_recursive(4, 12, 2, |inner| {
                let operator = prop::sample::select(vec!["AND", "OR", "XOR", "=", "!="]);
                prop_oneof![
                    (inner.clone(), operator, inner.clone(), any::<bool>()).prop_map(
                        |(left, operator, right, has_parentheses)| match has_parentheses {
                            true => format!("({left}) {operator} ({right})"),
                            false => format!("{left} {operator} {right}"),
                        }
                    ),
                    inner.prop_map(|operand| format!("NOT ({operand})")),
                ]
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn an_expression_is_true_only_if_its_needs_are_met(text in expression(), event_type in "[ab]{1,2}",
            subject in prop::sample::select(vec!["a", "b", "ab", "7"]), level in 0_i32..9) {
            let expression = Expression::parse(&text).unwrap();
            let event = BTreeMap::from([
                ("type".to_owned(), Value::String(event_type.clone().into())),
                ("subject".to_owned(), subject.into()),
                ("level".to_owned(), level.into()),
            ]);
            if expression.is_true(&event) {
                for (name, needed) in expression.needs() {
                    let value = if name == "type" { &event_type } else { subject };
                    let is_met = match &needed {
                        Needed::OneOf(texts) => texts.iter().any(|text| text == value),
                        Needed::Prefix(prefix) => value.starts_with(prefix),
                    };
                    prop_assert!(is_met, "{text}: {name} {needed:?}");
                }
            }
        }
    }
}
