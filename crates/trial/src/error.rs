//! Errors of the harness itself. A failed delivery is never an error here: it is counted.

use std::fmt;
use std::io;
use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file or socket failed: `what` says which.
    Io { what: String, source: io::Error },
    /// The server refused, or the connection broke.
    Sql(postgres::Error),
    /// A required program is not installed: `hint` says how to get it.
    Missing {
        program: PathBuf,
        hint: &'static str,
    },
    /// A program failed; `output` is what it printed.
    Program { program: String, output: String },
    /// The server did not start or stop in time; `log` is the end of its log.
    Server { what: String, log: String },
    /// A secret or certificate could not be made.
    Setup(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl Error {
    /// Appends more of a program's output.
    pub(crate) fn with(self, more: &str) -> Self {
        match self {
            Self::Program { program, output } => Self::Program {
                program,
                output: output + more,
            },
            other => other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Sql(error) => match error.as_db_error() {
                Some(db) => {
                    write!(f, "{} ({})", db.message(), db.code().code())?;
                    db.detail()
                        .map_or(Ok(()), |detail| write!(f, " DETAIL: {detail}"))?;
                    db.hint().map_or(Ok(()), |hint| write!(f, " HINT: {hint}"))
                }
                None => write!(f, "{error}"),
            },
            Self::Missing { program, hint } => {
                write!(f, "{} is missing: {hint}", program.display())
            }
            Self::Program { program, output } => write!(f, "{program} failed: {}", output.trim()),
            Self::Server { what, log } => write!(f, "{what}; its log ends with:\n{log}"),
            Self::Setup(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Sql(source) => Some(source),
            _ => None,
        }
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        Self::Sql(error)
    }
}
