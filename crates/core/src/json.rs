//! JSON as text: minified once at capture, with escaped strings put into it. It is never parsed into values here.

use std::borrow::Cow;

/// Removes the whitespace between tokens. The input must be valid JSON.
///
/// ```
/// use herald_core::json::minify;
/// assert_eq!(minify("{\"a\": 1,\n \"b\": \"x  y\"}"), r#"{"a":1,"b":"x  y"}"#);
/// ```
pub fn minify(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let Some(first) = next_blank(bytes, 0) else {
        return Cow::Borrowed(json);
    };
    let mut minified = String::with_capacity(json.len());
    let (mut kept_from, mut blank) = (0, Some(first));
    while let Some(at) = blank {
        minified.push_str(&json[kept_from..at]);
        kept_from = at
            + bytes[at..]
                .iter()
                .take_while(|byte| is_blank(**byte))
                .count();
        blank = next_blank(bytes, kept_from);
    }
    minified.push_str(&json[kept_from..]);
    Cow::Owned(minified)
}

/// Appends `text` as a JSON string, with its quotes.
///
/// ```
/// let mut json = String::new();
/// herald_core::json::push_string(&mut json, "a \"b\"\n");
/// assert_eq!(json, r#""a \"b\"\n""#);
/// ```
pub fn push_string(json: &mut String, text: &str) {
    json.push('"');
    let mut kept_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !IS_ESCAPED[usize::from(byte)] {
            continue;
        }
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            _ => "",
        };
        json.push_str(&text[kept_from..at]);
        if escape.is_empty() {
            json.push_str(&format!("\\u{byte:04x}"));
        } else {
            json.push_str(escape);
        }
        kept_from = at + 1;
    }
    json.push_str(&text[kept_from..]);
    json.push('"');
}

/// The bytes that a JSON string must escape.
const IS_ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Returns the place of the next whitespace outside strings. `from` must be outside a string.
fn next_blank(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            byte if is_blank(*byte) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// Returns the place after the closing quote of the string that begins at `start`.
pub(crate) fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_inside_strings_is_kept() {
        assert_eq!(
            minify(r#"{ "a \" b" : "c  d" , "e" : [ 1 , 2 ] } "#),
            r#"{"a \" b":"c  d","e":[1,2]}"#
        );
    }

    #[test]
    fn minified_json_is_not_copied() {
        assert!(matches!(minify(r#"{"a":"b c\\"}"#), Cow::Borrowed(_)));
    }

    proptest::proptest! {
        #[test]
        fn minifying_changes_nothing_but_whitespace(text in ".*", number in proptest::num::i64::ANY) {
            let value = serde_json::json!({"text": [text], "number": {"is": number, "empty": {}}});
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            assert_eq!(minify(&pretty), serde_json::to_string(&value).unwrap());
        }

        #[test]
        fn an_escaped_string_parses_back(text in ".*") {
            let mut json = String::new();
            push_string(&mut json, &text);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
