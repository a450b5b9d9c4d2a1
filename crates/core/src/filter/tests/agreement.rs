//! The filters agree with their definition.

use proptest::prelude::*;

use super::super::testing::event;
use super::super::{Filter, Need, Paths, Place, Scalar, Test, Value, View};
use super::json::{Json, data, scalar};
use super::naive::{Form, Matcher, Part, Pattern, Rule};
use super::written::written;
use crate::event::Event;

const SIGNS: [&str; 5] = ["<", "<=", ">", ">=", "!="];

fn hundredths() -> impl Strategy<Value = Json> {
    (-2_i64..4, 0_u8..4).prop_map(|(number, way)| Json::Number(number * 50, way))
}

fn form() -> impl Strategy<Value = Form> {
    let plain = scalar().prop_map(Form::Plain);
    let starred = r"[ab]{0,2}\*[ab]{0,2}\*?".prop_map(Form::Starred);
    let compared =
        (0..SIGNS.len(), hundredths()).prop_map(|(sign, limit)| Form::Compared(SIGNS[sign], limit));
    let leaf = prop_oneof![plain, starred, compared];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let is_list = |form: &Form| matches!(form, Form::List(_));
        let flat = inner
            .clone()
            .prop_filter("no list in a list", move |form| !is_list(form));
        prop_oneof![
            prop::collection::vec(flat, 1..4).prop_map(Form::List),
            operators(inner),
        ]
    })
}

fn operators(inner: impl Strategy<Value = Form>) -> impl Strategy<Value = Form> {
    let limit = prop_oneof![hundredths(), "[ab]{0,2}".prop_map(Json::String)];
    let ranges = prop::collection::btree_map(
        prop::sample::select(vec!["gt", "gte", "lt", "lte"]),
        limit,
        0..3,
    );
    let contains = scalar().prop_filter("not empty", |part| *part != Json::String(String::new()));
    (
        ranges,
        prop::option::of("[ab]{1,2}"),
        prop::option::of(any::<bool>()),
        prop::option::of(inner.prop_map(Box::new)),
        prop::option::of(contains),
    )
        .prop_map(|(ranges, prefix, exists, not, contains)| Form::Operators {
            exists: match (ranges.is_empty(), &prefix, &not, &contains) {
                (true, None, None, None) => Some(exists.unwrap_or(true)),
                _ => exists,
            },
            ranges: ranges.into_iter().collect(),
            prefix,
            not,
            contains,
        })
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let sign = prop::sample::select(vec!["<", "<=", ">", ">=", "="]);
    prop_oneof![
        4 => scalar().prop_map(Matcher::Value),
        2 => any::<bool>().prop_map(Matcher::Exists),
        1 => "[ab]{0,2}".prop_map(Matcher::Prefix),
        1 => (sign, hundredths()).prop_map(|(sign, limit)| Matcher::Numeric(sign, limit)),
        1 => prop::collection::vec(hundredths(), 1..3).prop_map(Matcher::AnythingBut),
        1 => prop::collection::vec("[ab]{0,2}".prop_map(Json::String), 1..3).prop_map(Matcher::AnythingBut),
    ]
}

/// Objects have other names than leaves, so that only tests of the same leaf collide.
fn pattern() -> impl Strategy<Value = Pattern> {
    let leaf = prop::collection::vec(matcher(), 1..3).prop_map(Part::Leaf);
    let fields = prop::collection::btree_map("[xy]", leaf, 1..3);
    let flat = fields.prop_map(|fields| Pattern {
        fields: fields.into_iter().collect(),
        choices: Vec::new(),
    });
    flat.prop_recursive(4, 10, 3, |inner| {
        let leaf = prop::collection::vec(matcher(), 1..3).prop_map(Part::Leaf);
        let objects =
            prop::collection::btree_map("[ab]", inner.clone().prop_map(Part::Object), 0..3);
        let leaves = prop::collection::btree_map("[xy]", leaf, 0..3);
        let choice = prop::option::of(prop::collection::vec(inner.clone(), 2..4));
        (objects, leaves, choice, inner).prop_map(|(objects, leaves, choice, other)| {
            let fields: Vec<_> = objects.into_iter().chain(leaves).collect();
            match fields.is_empty() && choice.is_none() {
                true => other,
                false => Pattern {
                    fields,
                    choices: choice.into_iter().collect(),
                },
            }
        })
    })
}

/// A pattern of events.
fn event_pattern() -> impl Strategy<Value = Pattern> {
    let data = || pattern().prop_map(|pattern| ("data".to_owned(), Part::Object(pattern)));
    let subject = || {
        prop::collection::vec(matcher(), 1..3)
            .prop_map(|matchers| ("subject".to_owned(), Part::Leaf(matchers)))
    };
    let alone = |fields: Vec<_>| Pattern {
        fields,
        choices: Vec::new(),
    };
    prop_oneof![
        3 => data().prop_map(move |data| alone(vec![data])),
        1 => (data(), subject()).prop_map(move |(data, subject)| alone(vec![data, subject])),
        1 => (data(), data(), subject()).prop_map(move |(data, other, subject)| Pattern {
            fields: vec![data],
            choices: vec![vec![alone(vec![other]), alone(vec![subject])]],
        }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let path = prop::collection::vec("[abxy]", 1..4);
    let leaf = prop_oneof![
        4 => (path, form()).prop_map(|(path, form)| Rule::Data(path, form)),
        2 => event_pattern().prop_map(Rule::Pattern),
        1 => "[ab]{1,2}".prop_map(|text| Rule::Exact("subject", text)),
    ];
    leaf.prop_recursive(3, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Rule::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Rule::Any),
            inner.prop_map(|rule| Rule::Not(Box::new(rule))),
        ]
    })
}

/// The patterns of a rule.
fn patterns(rule: &Rule) -> Vec<&Pattern> {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => rules.iter().flat_map(patterns).collect(),
        Rule::Not(rule) => patterns(rule),
        Rule::Pattern(pattern) => vec![pattern],
        Rule::Exact(..) | Rule::Data(..) => Vec::new(),
    }
}

/// Whether a pattern tests a member twice.
fn is_contradictory(pattern: &Pattern) -> bool {
    pattern.ways().iter().any(|way| {
        way.iter()
            .enumerate()
            .any(|(place, (path, _))| way[..place].iter().any(|(other, _)| other == path))
    })
}

fn with(subject: &str, data: &Json) -> (Event, Json) {
    let event = Event {
        subject: Some(subject.into()),
        ..event(&data.text())
    };
    let members = [
        ("subject", Json::String(subject.into())),
        ("data", data.clone()),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    (event, Json::Object(members.into()))
}

/// Whether a value at the place of a need passes one of its tests.
fn is_met(need: &Need<'_>, view: &View<'_>) -> bool {
    let passes = |scalar: Scalar<'_>| need.tests.iter().any(|test: &Test| test.passes(scalar));
    match &need.place {
        Place::Attribute(name) | Place::AttributeText(name) => {
            let value = view.attribute(name);
            value.is_some_and(|value: Value<'_>| value.any_scalar(&mut { passes }))
        }
        Place::Data(path) => {
            let mut values = Vec::new();
            if let Some(data) = view.data().unwrap() {
                data.collect_at(path.members(), &mut values);
            }
            values.iter().any(|value| value.any_scalar(&mut { passes }))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn filters_agree_with_their_definition(rule in rule(), others in prop::collection::vec(rule(), 0..2),
        subject in "[ab]{1,2}", data in data()) {
        let text = written(&rule);
        let filter = match Filter::parse(&text) {
            Ok(filter) => filter,
            Err(error) => {
                let is_expected = |pattern: &&Pattern| is_contradictory(pattern) || pattern.ways().len() > 20;
                prop_assert!(patterns(&rule).iter().any(is_expected), "{text}: {error}");
                return Ok(());
            }
        };
        prop_assert!(!patterns(&rule).into_iter().any(is_contradictory), "{}", text);
        let (event, json) = with(&subject, &data);
        let view = View::new(&event, filter.paths());
        let expected = rule.matches(&json);
        prop_assert_eq!(filter.matches(&view), Ok(expected), "{}", text);
        let refusal = filter.explain(&view);
        prop_assert_eq!(refusal.map(|refusal| refusal.is_none()), Ok(expected), "{}", text);
        if expected {
            for need in filter.rule().needs() {
                prop_assert!(is_met(&need, &view), "{text}: {need:?}");
            }
        }

        // What other filters ask for changes nothing.
        let mut paths = Paths::default();
        for filter in others.iter().filter_map(|rule| Filter::parse(&written(rule)).ok()) {
            paths.extend(filter.paths());
        }
        paths.extend(filter.paths());
        prop_assert_eq!(filter.matches(&View::new(&event, &paths)), Ok(expected), "{}", text);
    }

    #[test]
    fn no_json_makes_the_parser_panic(data in data(), rule in rule(), dialect in prop::sample::select(vec![
        "all", "any", "not", "exact", "prefix", "suffix", "data", "pattern", "sql", "$or", "exists", "between",
    ])) {
        let _ = Filter::parse(&data.text());
        let _ = Filter::parse(&format!(r#"{{"{dialect}": {}}}"#, data.text()));
        let _ = Filter::parse(&format!(r#"{{"data": {{"a": {{"{dialect}": {}}}}}}}"#, data.text()));
        let _ = Filter::parse(&format!(r#"{{"pattern": {{"data": {{"a": [{{"{dialect}": {}}}]}}}}}}"#, data.text()));
        // A filter that was cut.
        let text = written(&rule);
        for end in (0..text.len()).step_by(7).filter(|end| text.is_char_boundary(*end)) {
            let _ = Filter::parse(&text[..end]);
        }
    }
}
