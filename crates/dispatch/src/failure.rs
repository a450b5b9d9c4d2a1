//! Failures of the store, as far as they decide what is done next.

use std::fmt;

use crate::slices::DamageKind;

/// Why a statement failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Another session blocked it, or it took too long. A retry may succeed at any moment.
    Locked,
    /// The values or the stored rows are at fault: a retry with these will fail.
    Refused,
    /// The tables no longer exist.
    Gone,
    /// The store cannot do it now, whatever the values are.
    Other,
}

/// A failed statement of the store, which left nothing behind.
#[derive(Debug, Clone)]
pub struct Failure {
    pub fault: Fault,
    /// The message for the log.
    pub words: String,
    /// Set if a row that was read may be at fault, with the kind of damage.
    pub damage: Option<DamageKind>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}
