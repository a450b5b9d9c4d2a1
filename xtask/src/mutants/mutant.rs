//! What a mutant is: one small change of the source that breaks a promise, and the test that must notice.

use std::fmt;

use crate::Result;

const SCHEDULES: &str = "a_thousand_schedules_keep_every_promise";

/// A promise broken on purpose.
#[derive(Debug)]
pub struct Mutant {
    pub name: &'static str,
    /// What it breaks, in one sentence.
    pub breaks: &'static str,
    /// Relative to the root of the workspace.
    pub file: &'static str,
    /// Occurs exactly once in the file.
    pub from: &'static str,
    pub to: &'static str,
    pub killed_by: Test,
    /// A part of the test's failure message, so that no other failure counts.
    pub says: &'static str,
}

/// One test of one layer. The first word of a name with two says where the test is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// In the library of a pure crate: the package and the name.
    Unit(&'static str),
    /// In `tests/it` of a pure crate: the package and the name.
    Integration(&'static str),
    /// A `#[pg_test]`: the name.
    InDatabase(&'static str),
    /// The thousand schedules of `crates/simulation/tests/promises.rs`.
    Simulation,
    /// In a file of `crates/trial/tests`: the file and the name.
    EndToEnd(&'static str),
}

pub use Test::{EndToEnd, InDatabase, Integration, Unit};

impl Mutant {
    /// Returns the file's text with the change made.
    pub fn applied(&self, source: &str) -> Result<String> {
        match source.matches(self.from).count() {
            1 => Ok(source.replacen(self.from, self.to, 1)),
            count => Err(format!(
                "it does not apply: its text stands in {} {count} times",
                self.file
            )
            .into()),
        }
    }
}

impl Test {
    /// Returns the package or the file, and its name in libtest, where module names may precede it.
    pub fn place_and_name(self) -> (&'static str, &'static str) {
        match self {
            Unit(both) | Integration(both) | EndToEnd(both) => {
                both.split_once(' ').expect("the list has two words")
            }
            InDatabase(name) => ("pg_test", name),
            Self::Simulation => ("simulation", SCHEDULES),
        }
    }

    pub fn name(self) -> &'static str {
        self.place_and_name().1
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, name) = self.place_and_name();
        write!(f, "{place} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUTANT: Mutant = Mutant {
        name: "more",
        breaks: "One is one.",
        file: "one.rs",
        from: "1",
        to: "2",
        killed_by: InDatabase("one"),
        says: "not one",
    };

    #[test]
    fn a_change_is_made_at_its_only_place() {
        assert_eq!(MUTANT.applied("a 1 b").unwrap(), "a 2 b");
    }

    #[test]
    fn a_text_that_is_missing_or_ambiguous_is_not_changed() {
        for (source, count) in [("a b", "0 times"), ("1 1", "2 times")] {
            let error = MUTANT.applied(source).unwrap_err().to_string();
            assert!(error.ends_with(count), "{error}");
        }
    }
}
