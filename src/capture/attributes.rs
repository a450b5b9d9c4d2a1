//! Texts as CloudEvents attributes of captured events.

use herald_core::event::attributes::replace_forbidden;
use herald_core::json::push_string;
use herald_core::subscription::globs::is_operational;

/// Turns a text into a CloudEvents attribute: an empty text becomes `None`, and forbidden characters are replaced,
/// because no business write may fail for the form of an attribute.
pub fn attribute(text: Option<String>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(replace_forbidden(&text).unwrap_or(text))
}

/// Returns the type of a table's events if the watch has none. A schema whose name begins with `herald.` would give a
/// reserved type, so that gets a leading underscore.
pub fn default_type(schema: &str, table: &str, change: &str) -> String {
    let names = attribute(Some(format!("{schema}.{table}.{change}"))).unwrap_or_default();
    if is_operational(&names) {
        return format!("_{names}");
    }
    names
}

/// Returns the extension attribute of an event that could not be captured as intended.
pub fn fault_extension(message: &str) -> String {
    let printable: String = message.chars().take(500).collect();
    let mut json = String::from("{\"captureerror\":");
    push_string(&mut json, &attribute(Some(printable)).unwrap_or_default());
    json.push('}');
    json
}
