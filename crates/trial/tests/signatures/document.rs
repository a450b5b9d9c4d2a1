//! docs/signatures.md: its vectors and its code.

use std::collections::BTreeMap;

use crate::Scheme;
use crate::alter::Signed;
use crate::common::document;

pub const TEXT: &str = include_str!("../../../../docs/signatures.md");

pub fn blocks(kind: &str) -> Vec<document::Block> {
    document::blocks(TEXT, kind)
}

#[track_caller]
pub fn block(kind: &str, name: &str) -> String {
    document::block(TEXT, kind, name)
}

/// Counts the fenced blocks in a language.
pub fn count_fences(language: &str) -> usize {
    document::count_fences(TEXT, language)
}

/// Returns the lines before the first empty line as names and values, and the rest.
fn split(text: &str) -> (BTreeMap<String, String>, Option<&str>) {
    let (head, body) = match text.split_once("\n\n") {
        Some((head, body)) => (head, Some(body)),
        None => (text, None),
    };
    let fields = head.lines().map(|line| {
        let (name, value) = line.split_once(": ").expect("a name and a value");
        (name.to_owned(), value.to_owned())
    });
    (fields.collect(), body)
}

/// The common input of all vectors.
pub struct Input {
    pub secret: String,
    pub id: String,
    pub timestamp: i64,
    pub event_type: String,
    pub body: String,
}

pub fn input() -> Input {
    let text = block("vector", "input");
    let (mut fields, body) = split(&text);
    let mut field = |name: &str| fields.remove(name).expect("the input has it");
    Input {
        secret: field("secret"),
        id: field("id"),
        timestamp: field("timestamp").parse().expect("seconds"),
        event_type: field("type"),
        body: body.expect("the input has a body").to_owned(),
    }
}

/// A vector, with `method` and `url` if it has them.
pub struct Vector {
    pub request: Signed,
    pub method: String,
    pub url: String,
}

pub fn vector(name: &str) -> Vector {
    let text = block("vector", name);
    let (mut headers, body) = split(&text);
    let input = input();
    let mut take = |name: &str| headers.remove(name);
    let secret = take("secret").unwrap_or(input.secret);
    let (method, url) = (take("method"), take("url"));
    Vector {
        request: Signed {
            secret,
            headers,
            body: body.unwrap_or(&input.body).as_bytes().to_vec(),
        },
        method: method.unwrap_or_else(|| "POST".into()),
        url: url.unwrap_or_default(),
    }
}

impl Scheme {
    pub fn vector(&self) -> Signed {
        vector(self.name).request
    }
}

/// Returns the presets, and their parts according to the document.
pub fn presets() -> Vec<(&'static str, &'static str)> {
    let rows = TEXT.lines().filter_map(|line| {
        let row = line.strip_prefix("| `")?.strip_suffix("` |")?;
        row.split_once("` | `")
            .filter(|(_, parts)| parts.starts_with("{\""))
    });
    rows.collect()
}
