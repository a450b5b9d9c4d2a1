//! JSON for the naive evaluator: values that know nothing of how they are written.

use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// A number in hundredths, and the way to write it.
    Number(i64, u8),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn is_same(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Number(a, _), Json::Number(b, _)) => a == b,
            (Json::Array(_) | Json::Object(_), _) | (_, Json::Array(_) | Json::Object(_)) => false,
            (a, b) => a == b,
        }
    }

    /// Returns the last of the members with a name.
    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => {
                let mut members = members.iter().rev();
                members
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Flattens arrays: the values that are none.
    pub(super) fn leaves(&self) -> Vec<&Json> {
        match self {
            Json::Array(elements) => elements.iter().flat_map(Json::leaves).collect(),
            leaf => vec![leaf],
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Json::Null => "null".into(),
            Json::Bool(is_true) => is_true.to_string(),
            Json::Number(hundredths, way) => number(*hundredths, *way),
            Json::String(text) => serde_json::json!(text).to_string(),
            Json::Array(elements) => {
                let elements: Vec<String> = elements.iter().map(Json::text).collect();
                format!("[{}]", elements.join(", "))
            }
            Json::Object(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| format!("{}: {}", serde_json::json!(name), value.text()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(" ,"))
            }
        }
    }
}

/// Writes a number of hundredths in one of several ways.
pub(super) fn number(hundredths: i64, way: u8) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let size = hundredths.unsigned_abs();
    match way % 4 {
        0 => format!("{sign}{}.{:02}", size / 100, size % 100),
        1 => format!("{hundredths}e-2"),
        2 => format!("{sign}0.{size:020}0E+18"),
        _ if size.is_multiple_of(100) => format!("{sign}{}", size / 100),
        _ => format!("{sign}{}.{:02}000", size / 100, size % 100),
    }
}

pub(super) fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-2_i64..4, 0_u8..4).prop_map(|(number, way)| Json::Number(number * 50, way)),
        "[ab]{0,3}".prop_map(Json::String),
    ]
}

pub(super) fn json() -> impl Strategy<Value = Json> {
    scalar().prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            object(inner),
        ]
    })
}

/// An object, as data mostly are.
pub(super) fn data() -> impl Strategy<Value = Json> {
    prop_oneof![8 => object(json()), 1 => json()]
}

fn object(member: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    prop::collection::vec(("[abxy]", member), 0..5).prop_map(Json::Object)
}
