//! The definition of filters: an evaluator that is simple and slow, and shares no code with the real one.

use super::json::Json;

/// A filter before it is written as JSON.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Box<Rule>),
    Exact(&'static str, String),
    Data(Vec<String>, Form),
    Pattern(Pattern),
}

/// A value in the dialect `data`.
#[derive(Debug, Clone)]
pub(super) enum Form {
    Plain(Json),
    /// A string with stars.
    Starred(String),
    /// A sign and a number.
    Compared(&'static str, Json),
    List(Vec<Form>),
    /// Operators, with those for a single value together.
    Operators {
        ranges: Vec<(&'static str, Json)>,
        prefix: Option<String>,
        exists: Option<bool>,
        not: Option<Box<Form>>,
        contains: Option<Json>,
    },
}

/// A pattern: fields, and for each `$or` its branches.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) fields: Vec<(String, Part)>,
    pub(super) choices: Vec<Vec<Pattern>>,
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Leaf(Vec<Matcher>),
    Object(Pattern),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Matcher {
    Value(Json),
    Exists(bool),
    Prefix(String),
    Numeric(&'static str, Json),
    AnythingBut(Vec<Json>),
}

impl Rule {
    /// Returns whether the rule matches an event with this type, subject and data.
    pub(super) fn matches(&self, event: &Json) -> bool {
        let data = event.member("data").unwrap();
        match self {
            Rule::All(rules) => rules.iter().all(|rule| rule.matches(event)),
            Rule::Any(rules) => rules.iter().any(|rule| rule.matches(event)),
            Rule::Not(rule) => !rule.matches(event),
            Rule::Exact(name, text) => event.member(name) == Some(&Json::String(text.clone())),
            Rule::Data(path, form) => form.matches(&at(data, path)),
            Rule::Pattern(pattern) => pattern.matches(event),
        }
    }
}

/// Returns the values that a path leads to.
fn at<'j>(value: &'j Json, path: &[String]) -> Vec<&'j Json> {
    match (path, value) {
        ([], value) => vec![value],
        (path, Json::Array(elements)) => elements
            .iter()
            .flat_map(|element| at(element, path))
            .collect(),
        ([name, rest @ ..], value) => value
            .member(name)
            .map_or(Vec::new(), |value| at(value, rest)),
    }
}

fn is_starred(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = &pattern[1..];
    match first {
        '*' => (0..=text.len()).any(|at| is_starred(rest, &text[at..])),
        first => text
            .strip_prefix(first)
            .is_some_and(|text| is_starred(rest, text)),
    }
}

fn compares(value: &Json, sign: &str, limit: &Json) -> bool {
    let order = match (value, limit) {
        (Json::Number(value, _), Json::Number(limit, _)) => value.cmp(limit),
        (Json::String(value), Json::String(limit)) => value.chars().cmp(limit.chars()),
        _ => return false,
    };
    match sign {
        "<" | "lt" => order.is_lt(),
        "<=" | "lte" => order.is_le(),
        ">" | "gt" => order.is_gt(),
        "=" => order.is_eq(),
        _ => order.is_ge(),
    }
}

impl Form {
    fn matches(&self, values: &[&Json]) -> bool {
        let leaves: Vec<&Json> = values.iter().flat_map(|value| value.leaves()).collect();
        match self {
            Form::Plain(plain) => leaves.iter().any(|leaf| leaf.is_same(plain)),
            Form::Starred(pattern) => leaves
                .iter()
                .any(|leaf| matches!(leaf, Json::String(text) if is_starred(pattern, text))),
            Form::Compared("!=", limit) => {
                !values.is_empty() && !leaves.iter().any(|leaf| leaf.is_same(limit))
            }
            Form::Compared(sign, limit) => leaves.iter().any(|leaf| compares(leaf, sign, limit)),
            Form::List(forms) => forms.iter().any(|form| form.matches(values)),
            Form::Operators {
                ranges,
                prefix,
                exists,
                not,
                contains,
            } => {
                let has_tests = !ranges.is_empty() || prefix.is_some();
                let passes =
                    |leaf: &&Json| {
                        ranges.iter().all(|(sign, limit)| compares(leaf, sign, limit))
                        && prefix.as_ref().is_none_or(|prefix| {
                            matches!(leaf, Json::String(text) if text.starts_with(prefix))
                        })
                    };
                (!has_tests || leaves.iter().any(passes))
                    && exists.is_none_or(|exists| exists != values.is_empty())
                    && not
                        .as_ref()
                        .is_none_or(|form| !values.is_empty() && !form.matches(values))
                    && contains
                        .as_ref()
                        .is_none_or(|part| values.iter().any(|value| is_in(part, value)))
            }
        }
    }
}

fn is_in(part: &Json, value: &Json) -> bool {
    match (value, part) {
        (Json::Array(_), part) => value.leaves().iter().any(|leaf| leaf.is_same(part)),
        (Json::String(text), Json::String(part)) => text.contains(part),
        _ => false,
    }
}

/// A value of an event that is neither an array nor an object, with the elements of the arrays that it is in.
struct Leaf<'j> {
    path: Vec<&'j str>,
    elements: Vec<(usize, usize)>,
    value: &'j Json,
}

fn flatten<'j>(value: &'j Json, at: &Leaf<'j>, arrays: &mut usize, leaves: &mut Vec<Leaf<'j>>) {
    let below = |name: Option<&'j str>, element: Option<(usize, usize)>, value| Leaf {
        path: at.path.iter().copied().chain(name).collect(),
        elements: at.elements.iter().copied().chain(element).collect(),
        value,
    };
    match value {
        Json::Object(members) => {
            for (name, _) in members {
                // Of equal names the last counts; leaves that are found twice change nothing.
                let value = value.member(name).unwrap();
                flatten(value, &below(Some(name), None, value), arrays, leaves);
            }
        }
        Json::Array(elements) => {
            let array = *arrays;
            *arrays += 1;
            for (index, value) in elements.iter().enumerate() {
                flatten(
                    value,
                    &below(None, Some((array, index)), value),
                    arrays,
                    leaves,
                );
            }
        }
        _ => leaves.push(below(None, None, value)),
    }
}

impl Matcher {
    fn passes(&self, value: &Json) -> bool {
        match self {
            Matcher::Value(own) => own.is_same(value),
            Matcher::Exists(is_expected) => *is_expected,
            Matcher::Prefix(prefix) => {
                matches!(value, Json::String(text) if text.starts_with(prefix))
            }
            Matcher::Numeric(sign, limit) => compares(value, sign, limit),
            Matcher::AnythingBut(values) => !values.iter().any(|own| own.is_same(value)),
        }
    }
}

type Tests<'p> = (Vec<&'p str>, &'p [Matcher]);

impl Pattern {
    /// Returns all ways to choose a branch of each `$or`: for each way the tests with their paths.
    pub(super) fn ways(&self) -> Vec<Vec<Tests<'_>>> {
        let mut ways = vec![Vec::new()];
        for (name, part) in &self.fields {
            let more = match part {
                Part::Leaf(matchers) => vec![vec![(vec![name.as_str()], matchers.as_slice())]],
                Part::Object(pattern) => {
                    let mut ways = pattern.ways();
                    for (path, _) in ways.iter_mut().flatten() {
                        path.insert(0, name);
                    }
                    ways
                }
            };
            ways = combined(&ways, &more);
        }
        for branches in &self.choices {
            let more: Vec<_> = branches.iter().flat_map(Pattern::ways).collect();
            ways = combined(&ways, &more);
        }
        ways
    }

    fn matches(&self, event: &Json) -> bool {
        let top = Leaf {
            path: Vec::new(),
            elements: Vec::new(),
            value: event,
        };
        let mut leaves = Vec::new();
        flatten(event, &top, &mut 0, &mut leaves);
        self.ways()
            .iter()
            .any(|way| can_choose(way, &leaves, &[], &[]))
    }
}

fn combined<'p>(ways: &[Vec<Tests<'p>>], others: &[Vec<Tests<'p>>]) -> Vec<Vec<Tests<'p>>> {
    let mut combined = Vec::new();
    for way in ways {
        combined.extend(
            others
                .iter()
                .map(|other| [way.as_slice(), other.as_slice()].concat()),
        );
    }
    combined
}

/// Chooses a leaf for each test, or its absence, so that no two are in different elements of the same array.
fn can_choose(
    tests: &[Tests<'_>],
    leaves: &[Leaf<'_>],
    chosen: &[(usize, usize)],
    absent: &[&[&str]],
) -> bool {
    let is_consistent = |leaf: &Leaf<'_>| {
        let mut elements = leaf.elements.iter();
        elements.all(|(array, index)| {
            chosen
                .iter()
                .all(|(other, at)| other != array || at == index)
        })
    };
    let Some(((path, matchers), rest)) = tests.split_first() else {
        return absent.iter().all(|path| {
            !leaves
                .iter()
                .any(|leaf| leaf.path == *path && is_consistent(leaf))
        });
    };
    let found = leaves.iter().any(|leaf| {
        leaf.path == *path
            && matchers.iter().any(|matcher| matcher.passes(leaf.value))
            && is_consistent(leaf)
            && can_choose(rest, leaves, &[chosen, &leaf.elements].concat(), absent)
    });
    found
        || matchers.contains(&Matcher::Exists(false))
            && can_choose(rest, leaves, chosen, &[absent, &[path]].concat())
}
