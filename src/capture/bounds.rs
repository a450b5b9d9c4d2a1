//! What is too long for an attribute of a captured event. The statement never fails for it.
//!
//! A subject is cut and a key is hashed. A type or a tenant is neither: its beginning may be that of another. Only an
//! expression can make one that is too long, so `on_error` says what happens (`expressions.rs`).

use super::payload;
use crate::log::append::NewEvent;
use herald_core::attributes::replace_forbidden;
use herald_core::limits::{KEY, Limit, SUBJECT};

/// An event on its way into the log, and what the receiver has to be told about how it was captured.
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
    /// The event within its limits. The attribute `captureerror` names all faults, those of the `context` too.
    pub fn finish(self, context: &[String]) -> NewEvent {
        let Self {
            mut event,
            mut faults,
        } = self;
        fit(&mut event.subject, SUBJECT, Limit::cut, "cut", &mut faults);
        fit(&mut event.key, KEY, Limit::hash, "hashed", &mut faults);
        if !faults.is_empty() || !context.is_empty() {
            faults.extend_from_slice(context);
            event.extensions = Some(payload::fault_extension(&faults.join("; ")));
        }
        event
    }
}

/// Makes the attribute short enough and replaces what no CloudEvents string may contain. An empty one is none.
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
    // Shortened first, so that nothing is done to a text of any length, and again, as replacing may lengthen it.
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
