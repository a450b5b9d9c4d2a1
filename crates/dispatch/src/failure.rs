//! Why the store could not do something, as far as it decides what is done next.

use std::fmt;

use crate::slices::DamageKind;

/// What kept the store from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Another session is in the way, or it took too long. It may succeed at any moment.
    Locked,
    /// Something about the values or the stored rows: it will fail again with these.
    Refused,
    /// The tables are not there any more.
    Gone,
    /// It cannot do it now, whatever the values are.
    Other,
}

/// A statement of the store failed, and left nothing behind.
#[derive(Debug, Clone)]
pub struct Failure {
    pub fault: Fault,
    /// For the log.
    pub words: String,
    /// It may be the fault of a row that was read, of this kind.
    pub damage: Option<DamageKind>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}
