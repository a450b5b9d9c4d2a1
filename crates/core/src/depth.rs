//! The maximum nesting of data that code walks.
//!
//! Anybody who can insert a row decides how deep its JSON is, and code that walks arrays and objects uses stack for
//! each level. So levels are counted first, on the text and without recursion. Formats that pass data on unread need no
//! limit.

use std::fmt;

use crate::json::end_of_string;

/// The maximum nesting of arrays and objects, in levels, in data that code walks.
pub const MAX_LEVELS: usize = 128;

/// The error if arrays and objects are nested in more than [`MAX_LEVELS`] levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep;

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nested in more than {MAX_LEVELS} levels")
    }
}

impl std::error::Error for TooDeep {}

/// Refuses a JSON text that is nested too deep to walk. Accepts text that is not JSON.
///
/// ```
/// use herald_core::depth::{MAX_LEVELS, TooDeep, check};
///
/// let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
/// assert_eq!(check(nested(MAX_LEVELS).as_bytes()), Ok(()));
/// assert_eq!(check(nested(MAX_LEVELS + 1).as_bytes()), Err(TooDeep));
/// ```
pub fn check(json: &[u8]) -> Result<(), TooDeep> {
    let (mut at, mut levels) = (0, 0_usize);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(json, at);
                continue;
            }
            b'[' | b'{' => {
                levels += 1;
                if levels > MAX_LEVELS {
                    return Err(TooDeep);
                }
            }
            b']' | b'}' => levels = levels.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_objects_count_alike() {
        let nested = |levels: usize| r#"{"a":["#.repeat(levels) + &"]}".repeat(levels);
        assert_eq!(check(nested(MAX_LEVELS / 2).as_bytes()), Ok(()));
        assert_eq!(check(nested(MAX_LEVELS / 2 + 1).as_bytes()), Err(TooDeep));
    }

    #[test]
    fn only_what_is_open_counts() {
        let wide = format!("[{}0]", r#"{"a":[]},"#.repeat(10 * MAX_LEVELS));
        assert_eq!(check(wide.as_bytes()), Ok(()));
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        for text in ["[".repeat(1000), r#"\"[{"#.repeat(1000), r"\\".repeat(1000)] {
            let json = format!(r#"["{text}"]"#);
            assert_eq!(check(json.as_bytes()), Ok(()));
        }
        let behind = format!(r#"["\\",{}"#, "[".repeat(MAX_LEVELS));
        assert_eq!(check(behind.as_bytes()), Err(TooDeep));
    }

    #[test]
    fn truncated_json_passes_the_depth_check() {
        for text in ["", "\"", "\"\\", "]]]]", "[{"] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }
}
