//! The event types that were ever seen, so that `doctor()` can tell which globs match none.

use std::collections::HashSet;

use crate::log::Logged;

/// So many are remembered; `herald._doctor_types()` says nothing any more when there are more.
pub const MOST: usize = 1_000;

/// Which types are in `herald._type`, and which will be with the next report.
#[derive(Debug, Default)]
pub struct SeenTypes {
    /// Found by name, and in no order.
    known: HashSet<String>,
    fresh: Vec<String>,
}

impl SeenTypes {
    /// Earlier workers saw these.
    pub fn of(known: impl IntoIterator<Item = String>) -> Self {
        Self {
            known: known.into_iter().collect(),
            fresh: Vec::new(),
        }
    }

    pub fn note(&mut self, logged: &[Logged]) {
        for one in logged {
            let event_type = &one.event.r#type;
            if self.known.len() < MOST && !self.known.contains(event_type) {
                self.known.insert(event_type.clone());
                self.fresh.push(event_type.clone());
            }
        }
    }

    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Those that are to be written down; they stay until [`written`](Self::written).
    pub fn fresh(&self) -> &[String] {
        &self.fresh
    }

    pub fn written(&mut self) {
        self.fresh.clear();
    }
}
