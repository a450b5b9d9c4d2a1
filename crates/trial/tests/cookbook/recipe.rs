//! One recipe: its own database with the table used by all recipes, and a receiver in place of all others.

use herald_trial::Receiver;
use herald_trial::receiver::Request;

use crate::common::document::{self, with_origin};
use crate::common::{Database, SECRET};
use crate::{CLUSTER, COOKBOOK};

pub struct Recipe {
    /// The name of its first block, without the extension.
    name: String,
    pub db: Database,
    pub receiver: Receiver,
}

impl Recipe {
    pub fn new(block: &str) -> Self {
        let name = stem(block).to_owned();
        let mut recipe = Self {
            db: Database::new(&CLUSTER, &format!("cookbook_{name}")),
            receiver: Receiver::start().expect("a receiver starts"),
            name,
        };
        recipe.db.run("set herald.source = '/shop'");
        recipe.run("shop.sql");
        recipe
    }

    /// Returns a block's statements, with this receiver in each URL.
    pub fn statements(&self, block: &str) -> String {
        let origin = self.receiver.url("/");
        with_origin(
            &document::block(COOKBOOK, "run", block),
            origin.trim_end_matches('/'),
        )
    }

    #[track_caller]
    pub fn run(&mut self, block: &str) {
        self.db.run(&self.statements(block));
    }

    /// Subscribes this receiver's `/` to all events.
    pub fn subscribe_to_all(&mut self) {
        let url = self.receiver.url("/");
        self.db.run(&format!(
            "select herald.subscribe('all', url => '{url}', secret => '{SECRET}')"
        ));
    }

    /// Returns the types of the events delivered to [`subscribe_to_all`](Self::subscribe_to_all), in the order of the
    /// log.
    pub fn types(&mut self) -> Vec<String> {
        self.db.settle();
        let delivered =
            "select e.type from herald.event e join herald.delivery d on d.event_seq = e.seq
                         where d.subscription = 'all' and d.state = 'delivered' order by e.seq";
        self.db.texts(delivered)
    }

    /// Asserts that the receiver got exactly the requests of the document.
    #[track_caller]
    pub fn is_received(&mut self) {
        self.db.settle();
        let requests = self.receiver.requests();
        let expected: Vec<String> = document::blocks(COOKBOOK, "received")
            .into_iter()
            .filter(|block| stem(block.name) == self.name)
            .map(|block| block.text)
            .collect();
        let mut got: Vec<String> = requests
            .iter()
            .map(|request| {
                let line = format!("{} {}\n", request.method, request.path);
                let shown = expected.iter().find(|block| block.starts_with(&line));
                written(request, shown.map_or("content-type: ", String::as_str))
            })
            .collect();
        let mut expected: Vec<String> = expected.iter().map(|text| without_chance(text)).collect();
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "{}", got.join("\n\n"));
    }

    /// Asserts that `psql` prints for a block what the document shows.
    #[track_caller]
    pub fn is_shown(&self, block: &str) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), self.statements(block)).expect("it is written");
        let path = file.path().display().to_string();
        let output = CLUSTER
            .run_client("psql", &self.db.name, &["-X", "-q", "-f", &path])
            .expect("psql runs");
        let shown = document::block(COOKBOOK, "shown", stem(block));
        assert_eq!(output.trim_end(), shown.trim_end(), "{output}");
    }
}

/// Returns the name of a block up to the first full stop.
fn stem(block: &str) -> &str {
    block.split('.').next().unwrap_or_default()
}

/// Writes a request as the document does, with the headers that the document shows.
fn written(request: &Request, shown: &str) -> String {
    let (head, _) = shown.split_once("\n\n").unwrap_or((shown, ""));
    let mut text = format!("{} {}\n", request.method, request.path);
    for line in head.lines() {
        if let Some((name, _)) = line.split_once(": ") {
            let value = request.header(name).unwrap_or("(none)");
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    without_chance(&format!("{text}\n{}", request.text()))
}

/// Replaces all that differs from run to run: UUIDs, times and their parts.
fn without_chance(text: &str) -> String {
    let mut rest = text;
    let mut result = String::new();
    while let Some(character) = rest.chars().next() {
        let length = uuid_length(rest).or_else(|| time_length(rest));
        match length {
            Some(length) => {
                result.push('?');
                rest = &rest[length..];
            }
            None => {
                result.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    result
}

fn uuid_length(text: &str) -> Option<usize> {
    let shape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    let fits = |(is, wanted): (char, char)| match wanted {
        'x' => is.is_ascii_hexdigit(),
        other => is == other,
    };
    let is_uuid = text.len() >= shape.len() && text.chars().zip(shape.chars()).all(fits);
    is_uuid.then_some(shape.len())
}

/// Returns the length of a time as in `2026-01-02T03:04:05.678Z`, or as in `02 January 2026, 03:04 UTC`.
fn time_length(text: &str) -> Option<usize> {
    let end = text
        .find(|character: char| !character.is_ascii_alphanumeric() && !"-:., ".contains(character));
    let text = &text[..end.unwrap_or(text.len())];
    let is_iso = text.len() >= 20
        && text.ends_with('Z')
        && text[..4].bytes().all(|byte| byte.is_ascii_digit())
        && text.as_bytes()[4] == b'-'
        && text.as_bytes()[10] == b'T';
    let is_written = text.ends_with(" UTC")
        && text.len() > 20
        && text[..2].bytes().all(|byte| byte.is_ascii_digit())
        && text.as_bytes()[2] == b' ';
    (is_iso || is_written).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_and_times_are_left_out() {
        let text = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","time":"2021-02-25T15:02:09.500Z","at":"At: 25 February 2021, 15:02 UTC","n":42.50}"#;
        assert_eq!(
            without_chance(text),
            r#"{"id":"?","time":"?","at":"At: ?","n":42.50}"#
        );
        for other in ["2021", "A-1001", "order/A-1001 is failed", "ab-cd"] {
            assert_eq!(without_chance(other), other);
        }
    }
}
