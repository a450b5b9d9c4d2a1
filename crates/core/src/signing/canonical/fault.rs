//! The reasons why a text has no canonical form.

use std::fmt;

use crate::depth::TooDeep;
use crate::error::shortened;

const SHOWN_PATH: usize = 200;

/// The reason, with a path like `data.items[3]["a key"]`, which is cut when long, and empty at the top.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A receiver would read a different number.
    Inexact {
        /// The first characters of the number.
        number: String,
        path: String,
    },
    /// Arrays and objects are nested in more than [`MAX_LEVELS`](crate::depth::MAX_LEVELS) levels.
    TooDeep { path: String },
    /// The text is not JSON (RFC 8259).
    NotJson {
        /// The number of bytes read before the fault.
        after: usize,
        path: String,
    },
}

impl Fault {
    /// Extends the path by a step to the array or object around it.
    pub(super) fn within(mut self, step: &str) -> Self {
        let (Self::Inexact { path, .. } | Self::TooDeep { path } | Self::NotJson { path, .. }) =
            &mut self;
        let dot = match path.chars().next() {
            None | Some('[') => "",
            Some(_) => ".",
        };
        *path = shortened(&format!("{step}{dot}{path}"), SHOWN_PATH);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Inexact { path, .. } | Self::TooDeep { path } | Self::NotJson { path, .. }) =
            self;
        let place = match path.as_str() {
            "" => String::new(),
            path => format!(" at {path}"),
        };
        match self {
            Self::Inexact { number, .. } => {
                write!(f, "the number {number}{place} has no exact double")
            }
            Self::TooDeep { .. } => {
                write!(f, "the body{place} is {TooDeep}")
            }
            Self::NotJson { after, .. } => {
                write!(f, "the text{place} is not JSON after {after} bytes")
            }
        }
    }
}

impl std::error::Error for Fault {}
