//! The event types seen so far, so that `doctor()` can tell which globs match none.

use std::collections::HashSet;

use crate::log::Logged;

/// At most this many types are remembered; `herald_internal.doctor_types()` reports nothing once so many were seen.
pub const MOST: usize = 1_000;

/// The types in `herald_internal.type`, and those that the next report adds.
#[derive(Debug, Default)]
pub struct SeenTypes {
    /// Looked up by name; the order does not matter.
    known: HashSet<String>,
    fresh: Vec<String>,
}

impl SeenTypes {
    /// Returns the types that earlier workers saw.
    pub fn of(known: impl IntoIterator<Item = String>) -> Self {
        Self {
            known: known.into_iter().collect(),
            fresh: Vec::new(),
        }
    }

    pub fn note(&mut self, logged: &[Logged]) {
        for entry in logged {
            let event_type = &entry.event.r#type;
            if self.known.len() < MOST && !self.known.contains(event_type) {
                self.known.insert(event_type.clone());
                self.fresh.push(event_type.clone());
            }
        }
    }

    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Returns the types to write; they stay until [`written`](Self::written).
    pub fn fresh(&self) -> &[String] {
        &self.fresh
    }

    pub fn written(&mut self) {
        self.fresh.clear();
    }
}
