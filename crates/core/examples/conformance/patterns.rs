//! Pairs of an event pattern and an event: `{"rule": {...}, "event": {...}, "matched": true}`. A file has one, an array of
//! them, or one in each line. A rule may be given as a text, too. `"matched": null` says that the rule is refused.

use std::collections::BTreeMap;

use herald_core::filter::conformance::{Expected, check_pattern};
use serde_json::value::RawValue;

use crate::Verdict;

/// A pair, with its numbers as they are written.
type Pair = BTreeMap<String, Box<RawValue>>;

/// Plays the pairs of a JSON file.
pub fn play(text: &str) -> Result<Vec<Verdict>, String> {
    let pairs: Vec<Pair> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        let pairs = serde_json::Deserializer::from_str(text).into_iter();
        pairs
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?
    };
    let verdict = |(number, pair): (usize, &Pair)| Verdict {
        title: title(pair).unwrap_or_else(|| format!("pair {}", number + 1)),
        wrong: judge(pair).err(),
    };
    Ok(pairs.iter().enumerate().map(verdict).collect())
}

fn title(pair: &Pair) -> Option<String> {
    serde_json::from_str(pair.get("name")?.get()).ok()
}

/// Returns what is wrong, if the rule does not do what is said.
fn judge(pair: &Pair) -> Result<(), String> {
    let member = |name: &str| pair.get(name).ok_or(format!("it has no {name}"));
    let expected = match member("matched")?.get() {
        "true" => Expected::Match,
        "false" => Expected::NoMatch,
        "null" => Expected::Refusal,
        other => return Err(format!("matched is {other}")),
    };
    check_pattern(
        &text_of(member("rule")?),
        &text_of(member("event")?),
        expected,
    )
}

/// Returns the JSON of a value, which may be given as a text.
fn text_of(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}
