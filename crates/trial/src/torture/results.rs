//! The rounds so far: a line of JSON each, in a file that a later run resumes from, and the table at the end.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use super::round::Outcome;
use super::victim::Victim;
use crate::error::{Error, Result};
use crate::statistics::at_rank;

#[derive(Debug, Default)]
pub struct Results {
    file: Option<File>,
    rounds: Vec<Outcome>,
}

impl Results {
    /// Resumes from the file, if given. Refuses a file of another seed.
    pub fn open(file: Option<&Path>, seed: u64) -> Result<Self> {
        let Some(path) = file else {
            return Ok(Self::default());
        };
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut rounds = Vec::new();
        for line in text.lines() {
            let entry: Option<Value> = serde_json::from_str(line).ok();
            let broken = || Error::Setup(format!("{}: no result: {line}", path.display()));
            let entry = entry.ok_or_else(broken)?;
            match entry["seed"].as_u64() {
                Some(known) if known == seed => {}
                Some(known) => {
                    return Err(Error::Setup(format!(
                        "{} has the rounds of seed {known}: give --seed {known}, or another file",
                        path.display()
                    )));
                }
                None => rounds.push(Outcome::from_json(&entry).ok_or_else(broken)?),
            }
        }
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(Error::io(format!("opening {}", path.display())))?;
        if text.is_empty() {
            writeln!(file, "{}", serde_json::json!({ "seed": seed }))
                .map_err(Error::io("writing the results"))?;
        }
        Ok(Self {
            file: Some(file),
            rounds,
        })
    }

    pub fn add(&mut self, outcome: Outcome) -> Result<()> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", outcome.to_json())
                .and_then(|()| file.sync_data())
                .map_err(Error::io("writing the results"))?;
        }
        self.rounds.push(outcome);
        Ok(())
    }

    pub fn counted(&self, victim: &Victim) -> u64 {
        self.of(victim).count() as u64
    }

    /// Returns a number that no round has had.
    pub fn next_number(&self) -> u64 {
        self.rounds
            .iter()
            .map(|round| round.number)
            .max()
            .unwrap_or(0)
            + 1
    }

    /// Returns one line per victim, and their sum.
    pub fn table(&self) -> String {
        let mut victims: Vec<&Victim> = self.rounds.iter().map(|round| &round.victim).collect();
        victims.sort();
        victims.dedup();
        let mut table = String::from(
            "\nvictim           rounds  committed  lost  phantom  duplicates a round: mean, max  recovery ms: p50, p99\n",
        );
        let mut line = |name: &str, rounds: &[&Outcome]| {
            let sum =
                |value: fn(&Outcome) -> u64| rounds.iter().map(|round| value(round)).sum::<u64>();
            let duplicates = sum(|round| round.duplicates) as f64 / rounds.len().max(1) as f64;
            let most = rounds
                .iter()
                .map(|round| round.duplicates)
                .max()
                .unwrap_or(0);
            let mut recovery: Vec<u64> = rounds.iter().map(|round| round.recovery_millis).collect();
            recovery.sort_unstable();
            let _ = writeln!(
                table,
                "{name:<15} {:>7} {:>10} {:>5} {:>8} {duplicates:>25.1} {most:>4} {:>17} {:>5}",
                rounds.len(),
                sum(|round| round.committed),
                sum(|round| round.lost),
                sum(|round| round.phantom),
                at_rank(&recovery, 50),
                at_rank(&recovery, 99),
            );
        };
        for victim in victims {
            line(&victim.to_string(), &self.of(victim).collect::<Vec<_>>());
        }
        let all: Vec<&Outcome> = self
            .rounds
            .iter()
            .filter(|round| round.is_counted)
            .collect();
        line("all", &all);
        table
    }

    fn of<'a>(&'a self, victim: &'a Victim) -> impl Iterator<Item = &'a Outcome> {
        self.rounds
            .iter()
            .filter(move |round| round.is_counted && round.victim == *victim)
    }
}

#[cfg(test)]
mod tests {
    use super::super::round::outcome;
    use super::*;

    #[test]
    fn a_later_run_goes_on_from_the_file_of_an_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        let mut first = Results::open(Some(&path), 9).unwrap();
        first.add(outcome(Victim::Worker, 1)).unwrap();
        let uncounted = Outcome {
            is_counted: false,
            ..outcome(Victim::Worker, 2)
        };
        first.add(uncounted).unwrap();
        let later = Results::open(Some(&path), 9).unwrap();
        assert_eq!(
            (later.counted(&Victim::Worker), later.next_number()),
            (1, 3)
        );
        assert!(Results::open(Some(&path), 10).is_err());
    }

    #[test]
    fn the_table_has_a_line_for_each_victim_and_one_for_all() {
        let mut results = Results::default();
        for (number, victim) in [Victim::Worker, Victim::Fast, Victim::Worker]
            .into_iter()
            .enumerate()
        {
            results.add(outcome(victim, number as u64)).unwrap();
        }
        let table = results.table();
        let lines: Vec<&str> = table.trim().lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(
            lines[1].starts_with("worker") && lines[1].contains(" 200 "),
            "{table}"
        );
        assert!(
            lines[3].starts_with("all") && lines[3].contains(" 300 "),
            "{table}"
        );
    }
}
