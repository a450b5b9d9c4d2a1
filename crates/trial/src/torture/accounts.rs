//! The receiver's log: a line per request, on disk before the answer, read as it grows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::workload::Change;

/// The paths of the two subscriptions: the first answers 200, the second refuses each event once.
pub const PATHS: [&str; 2] = ["/steady", "/flaky"];

/// What the receiver heard of one change for one subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    pub received: u32,
    pub accepted: u32,
    webhook_ids: BTreeSet<String>,
    bodies: BTreeSet<String>,
}

/// All receipts so far, by subscription (its path) and change.
#[derive(Debug)]
pub struct Accounts {
    log: BufReader<File>,
    unfinished: String,
    pub receipts: BTreeMap<(String, Change), Receipt>,
    pub invalid_signatures: Vec<String>,
    /// When requests came in, in microseconds since 1970; ascending.
    pub arrivals: Vec<i64>,
}

impl Accounts {
    pub fn open(file: &Path) -> Result<Self> {
        let log = File::open(file).map_err(Error::io("opening the receiver's log"))?;
        Ok(Self {
            log: BufReader::new(log),
            unfinished: String::new(),
            receipts: BTreeMap::new(),
            invalid_signatures: Vec::new(),
            arrivals: Vec::new(),
        })
    }

    /// Reads what was added since the last call.
    pub fn read_on(&mut self) -> Result<()> {
        loop {
            let read = self
                .log
                .read_line(&mut self.unfinished)
                .map_err(Error::io("reading the receiver's log"))?;
            if read == 0 || !self.unfinished.ends_with('\n') {
                self.arrivals.sort_unstable();
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
        self.arrivals
            .push(entry["at_micros"].as_i64().ok_or_else(broken)?);
        let event: Value = serde_json::from_str(&text("body")).map_err(|_| broken())?;
        let change = Change::in_event(&event).ok_or_else(broken)?;
        let receipt = self.receipts.entry((text("path"), change)).or_default();
        receipt.received += 1;
        receipt.accepted += u32::from(entry["accepted"] == true);
        receipt.webhook_ids.insert(text("webhook_id"));
        receipt.bodies.insert(text("body"));
        Ok(())
    }

    /// Returns true if a request came in less than `answer` before `moment`; an answer takes at least that long.
    pub fn was_in_flight(&self, answer: Duration, moment: i64) -> bool {
        let next = self.arrivals.partition_point(|at| *at <= moment);
        let since = |at: i64| u128::from((moment - at).unsigned_abs());
        next > 0 && since(self.arrivals[next - 1]) < answer.as_micros()
    }

    /// Returns when the first request after `moment` came in.
    pub fn first_after(&self, moment: i64) -> Option<i64> {
        let next = self.arrivals.partition_point(|at| *at <= moment);
        self.arrivals.get(next).copied()
    }
}

impl Receipt {
    /// Returns true if all attempts of an event had the same webhook-id and the same bytes.
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
                r#"{{"at_micros":{at},"path":"/a","webhook_id":"w","signature":"valid","accepted":{accepted},"body":"{body}"}}"#
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
        let answer = Duration::from_micros(10);
        assert!(accounts.was_in_flight(answer, 209) && !accounts.was_in_flight(answer, 210));
        assert_eq!(
            (accounts.first_after(100), accounts.first_after(200)),
            (Some(200), None)
        );
    }
}
