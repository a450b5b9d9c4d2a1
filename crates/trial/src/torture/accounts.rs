//! The receiver's log: a line for each request, on disk before the request was answered, read as it grows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::workload::Change;

/// What the receiver heard of one change for one subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    pub received: u32,
    pub accepted: u32,
    webhook_ids: BTreeSet<String>,
    bodies: BTreeSet<String>,
}

/// All receipts so far: by subscription, which is the path, and change.
#[derive(Debug)]
pub struct Accounts {
    log: BufReader<File>,
    unfinished: String,
    pub receipts: BTreeMap<(String, Change), Receipt>,
    pub invalid_signatures: Vec<String>,
    /// When each request came in and when its answer left, in microseconds since 1970; ascending.
    pub requests: Vec<(i64, i64)>,
}

impl Accounts {
    pub fn open(file: &Path) -> Result<Self> {
        let log = File::open(file).map_err(Error::io("opening the receiver's log"))?;
        Ok(Self {
            log: BufReader::new(log),
            unfinished: String::new(),
            receipts: BTreeMap::new(),
            invalid_signatures: Vec::new(),
            requests: Vec::new(),
        })
    }

    /// Reads what was added since the last time.
    pub fn read_on(&mut self) -> Result<()> {
        loop {
            let read = self
                .log
                .read_line(&mut self.unfinished)
                .map_err(Error::io("reading the receiver's log"))?;
            if read == 0 || !self.unfinished.ends_with('\n') {
                self.requests.sort_unstable();
                return Ok(());
            }
            let line = std::mem::take(&mut self.unfinished);
            self.file(&line)?;
        }
    }

    fn file(&mut self, line: &str) -> Result<()> {
        let broken = || {
            Error::Setup(format!(
                "a line of the receiver's log makes no sense: {line}"
            ))
        };
        let entry: Value = serde_json::from_str(line).map_err(|_| broken())?;
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        if entry["signature"] != "valid" {
            self.invalid_signatures.push(line.to_owned());
        }
        let time = |name: &str| entry[name].as_i64().ok_or_else(broken);
        self.requests
            .push((time("at_micros")?, time("answered_at_micros")?));
        let event: Value = serde_json::from_str(&text("body")).map_err(|_| broken())?;
        let change = Change::in_event(&event).ok_or_else(broken)?;
        let receipt = self.receipts.entry((text("path"), change)).or_default();
        receipt.received += 1;
        receipt.accepted += u32::from(entry["accepted"] == true);
        receipt.webhook_ids.insert(text("webhook_id"));
        receipt.bodies.insert(text("body"));
        Ok(())
    }

    /// Whether a request had come in and not been answered at this moment.
    pub fn was_in_flight(&self, moment: i64) -> bool {
        let came_before = self.requests.partition_point(|(at, _)| *at <= moment);
        self.requests[..came_before]
            .iter()
            .any(|(_, answered_at)| *answered_at > moment)
    }

    /// When the first request after a moment came in.
    pub fn first_after(&self, moment: i64) -> Option<i64> {
        let next = self.requests.partition_point(|(at, _)| *at <= moment);
        self.requests.get(next).map(|(at, _)| *at)
    }
}

impl Receipt {
    /// The same event has the same webhook-id and the same bytes at every attempt.
    pub fn is_consistent(&self) -> bool {
        self.webhook_ids.len() <= 1 && self.bodies.len() <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_are_filed_when_they_are_complete() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut accounts = Accounts::open(file.path()).unwrap();
        let line = |at: i64, accepted: bool| {
            let body = r#"{\"data\":{\"record\":{\"client\":3,\"seq\":7}}}"#;
            format!(
                r#"{{"at_micros":{at},"answered_at_micros":{at}9,"path":"/a","webhook_id":"w","signature":"valid","accepted":{accepted},"body":"{body}"}}"#
            )
        };
        write!(file, "{}\n{}", line(100, false), &line(200, true)[..30]).unwrap();
        accounts.read_on().unwrap();
        let key = ("/a".to_owned(), Change { client: 3, seq: 7 });
        assert_eq!(accounts.receipts[&key].received, 1);
        writeln!(file, "{}", &line(200, true)[30..]).unwrap();
        accounts.read_on().unwrap();
        let receipt = &accounts.receipts[&key];
        assert_eq!((receipt.received, receipt.accepted), (2, 1));
        assert!(receipt.is_consistent() && accounts.invalid_signatures.is_empty());
        assert!(accounts.was_in_flight(205) && !accounts.was_in_flight(99));
        assert_eq!(
            (accounts.first_after(100), accounts.first_after(200)),
            (Some(200), None)
        );
    }
}
