//! The layers of tests, cheapest first.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// The crates without PostgreSQL, in milliseconds.
    Unit,
    /// `#[pg_test]`, inside a server of the major under test.
    InDatabase,
    /// The installed extension, from outside: clusters, receivers, crashes.
    EndToEnd,
}

impl Suite {
    pub const ALL: [Self; 3] = [Self::Unit, Self::InDatabase, Self::EndToEnd];
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unit => "unit",
            Self::InDatabase => "in-database",
            Self::EndToEnd => "e2e",
        })
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let suite = Self::ALL
            .into_iter()
            .find(|suite| suite.to_string() == name);
        suite.ok_or_else(|| format!("there is no suite `{name}`: unit, in-database or e2e"))
    }
}
