//! Tests that a printed expression is read as the same.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::filter::cesql::like::Pattern;
use crate::filter::cesql::operator::Operator;
use crate::filter::cesql::tests::{event, parse};
use crate::filter::cesql::{Expression, Type};

#[test]
fn an_expression_is_printed_with_the_parentheses_that_it_needs() {
    for (text, expected) in [
        ("((a)+(b*c))", "a + b * c"),
        ("(A+b)*C", "(a + b) * c"),
        ("((a or b)=c+d)%e", "((a OR b) = c + d) % e"),
        ("a-(b-c)", "a - (b - c)"),
        ("a <> (b + 1) * 2", "a != (b + 1) * 2"),
        ("not(a and b)", "NOT (a AND b)"),
        ("(not a)and not exists b", "NOT a AND NOT EXISTS b"),
        ("--10", "- -10"),
        ("-(10)", "- 10"),
        ("-(a+1)", "- (a + 1)"),
        ("(a like'x')in(b,(c))", "a LIKE 'x' IN (b, c)"),
        ("a*(b not like\"it's\")", r"a * b NOT LIKE 'it\'s'"),
        ("(a * b) NOT IN (c)", "(a * b) NOT IN (c)"),
        (r#""a\'\"b""#, r#""a\'\"b""#),
        (r"'a\'b\\'", r"'a\'b\\'"),
        ("substring (a,TRUE)", "SUBSTRING(a, TRUE)"),
        ("none()", "NONE()"),
    ] {
        assert_eq!(parse(text).to_string(), expected, "{text}");
        assert_eq!(parse(expected), parse(text), "{text}");
    }
}

/// Strings that a literal can hold: a backslash is before neither a quote nor the end.
fn string() -> impl Strategy<Value = String> {
    r#"([a-c'"%_ é]|\\[a-c%_])*"#
}

fn name() -> impl Strategy<Value = String> {
    let is_free = |name: &String| match Expression::parse(name) {
        Ok(expression) => matches!(expression.root, Node::Attribute(_)),
        Err(_) => false,
    };
    "[a-z0-9]{0,3}[a-z]".prop_filter("a keyword", is_free)
}

fn function() -> impl Strategy<Value = String> {
    let known = select(vec!["ABS", "CONCAT", "SUBSTRING", "CONCAT_WS", "LEFT"]);
    prop_oneof![known.prop_map(str::to_owned), "Z[A-Z_]{0,3}"]
}

fn leaf() -> impl Strategy<Value = Node> {
    prop_oneof![
        any::<i32>().prop_map(|integer| Node::Literal(integer.into())),
        (-2..3_i32).prop_map(|integer| Node::Literal(integer.into())),
        any::<bool>().prop_map(|boolean| Node::Literal(boolean.into())),
        string().prop_map(|text| Node::Literal(Value::String(text.into()))),
        name().prop_map(Node::Attribute),
        name().prop_map(Node::Exists),
    ]
}

fn step(node: impl Strategy<Value = Node> + Clone) -> impl Strategy<Value = Step> {
    let operators = [
        Operator::And,
        Operator::Or,
        Operator::Xor,
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Greater,
        Operator::GreaterOrEqual,
        Operator::Add,
        Operator::Subtract,
        Operator::Multiply,
        Operator::Divide,
        Operator::Remainder,
    ];
    prop_oneof![
        4 => (select(operators.to_vec()), node.clone())
            .prop_map(|(operator, node)| Step::Binary(operator, node)),
        1 => (string(), any::<bool>()).prop_map(|(text, is_negated)| Step::Like {
            pattern: Pattern::new(text),
            is_negated,
        }),
        1 => (vec(node, 1..4), any::<bool>())
            .prop_map(|(members, is_negated)| Step::In { members, is_negated }),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    leaf().prop_recursive(4, 40, 5, |node| {
        prop_oneof![
            node.clone().prop_map(|node| Node::Not(Box::new(node))),
            node.clone().prop_map(|node| Node::Negate(Box::new(node))),
            (function(), vec(node.clone(), 0..4))
                .prop_map(|(name, arguments)| Node::call(name, arguments)),
            (node.clone(), vec(step(node), 1..5))
                .prop_map(|(first, steps)| first.followed_by(steps)),
        ]
    })
}

proptest! {
    #[test]
    fn a_printed_expression_is_parsed_as_the_same(root in node()) {
        let expression = Expression { root };
        let text = expression.to_string();
        prop_assert_eq!(Expression::parse(&text), Ok(expression), "{}", text);
    }

    #[test]
    fn no_text_makes_parsing_panic(text in any::<String>()) {
        if let Ok(expression) = Expression::parse(&text) {
            prop_assert_eq!(Expression::parse(&expression.to_string()), Ok(expression));
        }
    }

    #[test]
    fn no_tokens_make_parsing_or_evaluation_panic(
        tokens in vec(select(vec![
            "a", "type", "hop", "1", "-2147483648", "0", "'5'", "'x\\'%'", "\"_\"", "(", ")", ",", "+", "-", "*", "/",
            "%", "=", "!=", "<", ">=", "AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "ABS(", "LEFT(",
            "CONCAT(", "SUBSTRING(", "NONE(", " ",
        ]), 0..12)
    ) {
        let event = event();
        if let Ok(expression) = Expression::parse(&tokens.concat()) {
            let evaluation = expression.evaluate(&event);
            let fixed = expression.root.gives();
            prop_assert!(fixed.is_none_or(|fixed| fixed == Type::of(&evaluation.value)));
            prop_assert_eq!(Expression::parse(&expression.to_string()), Ok(expression.clone()));
        }
    }

    #[test]
    fn an_expression_has_the_type_that_its_tree_tells(root in node()) {
        let (expression, event) = (Expression { root }, event());
        let evaluation = expression.evaluate(&event);
        let fixed = expression.root.gives();
        prop_assert!(fixed.is_none_or(|fixed| fixed == Type::of(&evaluation.value)));
        prop_assert_eq!(&evaluation, &expression.evaluate(&event));
    }
}
