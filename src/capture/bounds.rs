//! Fits the attributes of captured events into their limits.
//!
//! A long subject is cut and a long key hashed; neither fails the statement. A type or a tenant is never shortened: its
//! beginning may be another's name. Only an expression can make these too long, so `on_error` decides
//! (`evaluators.rs`).

use super::attributes;
use crate::log::append::NewEvent;
use herald_core::event::attributes::replace_forbidden;
use herald_core::limits::{KEY, Limit, SUBJECT};

/// An event on its way into the log, and the faults of its capture that the receiver must know.
pub struct Captured {
    pub event: NewEvent,
    pub faults: Vec<String>,
}

impl From<NewEvent> for Captured {
    fn from(event: NewEvent) -> Self {
        Self {
            event,
            faults: Vec::new(),
        }
    }
}

impl Captured {
    /// Returns the event within its limits. The attribute `captureerror` names all faults, including those of the
    /// `context`.
    pub fn finish(self, context: &[String]) -> NewEvent {
        let Self {
            mut event,
            mut faults,
        } = self;
        fit(&mut event.subject, SUBJECT, Limit::cut, "cut", &mut faults);
        fit(&mut event.key, KEY, Limit::hash, "hashed", &mut faults);
        if !faults.is_empty() || !context.is_empty() {
            faults.extend_from_slice(context);
            event.extensions = Some(attributes::fault_extension(&faults.join("; ")));
        }
        event
    }
}

/// Shortens the attribute and replaces characters that CloudEvents strings forbid. An empty text becomes `None`.
fn fit(
    attribute: &mut Option<String>,
    limit: Limit,
    shorten: impl Fn(&Limit, &str) -> Option<String>,
    how: &str,
    faults: &mut Vec<String>,
) {
    let Some(text) = attribute.take().filter(|text| !text.is_empty()) else {
        return;
    };
    // Shorten first, so that replacing never processes a text of unlimited length, and again, as replacing may lengthen
    // it.
    let short = shorten(&limit, &text);
    let printable = replace_forbidden(short.as_deref().unwrap_or(&text));
    let shorter = printable.as_deref().and_then(|text| shorten(&limit, text));
    if short.is_some() || shorter.is_some() {
        let (name, bytes) = (limit.name, limit.bytes);
        faults.push(format!(
            "the {name} has more than {bytes} bytes and was {how}"
        ));
    }
    *attribute = Some(shorter.or(printable).or(short).unwrap_or(text));
}
