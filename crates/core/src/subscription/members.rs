//! Options that are objects of strings, such as headers and secrets.

use std::collections::BTreeMap;

/// Names and their values, all strings.
pub type Members = BTreeMap<String, String>;
