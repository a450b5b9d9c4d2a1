//! Secrets that a subscription's url, headers and template use by name: `{secret.NAME}`, or `secrets.NAME` in a
//! template.
//!
//! They are filled in when the subscription is compiled, so that no event can ask for one. They are hidden when a
//! receiver's answer is shown.

use std::sync::Arc;

use crate::error::Error;
use crate::subscription::members::Members;
use crate::suggest;

/// Shown in place of a stored value.
pub const HIDDEN: &str = "***";

/// The maximum number of a subscription's secrets.
const MAX_SECRETS: usize = 32;
/// The maximum size of a name, in bytes.
const MAX_NAME: usize = 63;
/// The allowed size of a value, in bytes. A shorter one could not be hidden in a receiver's answer.
const VALUE_BYTES: std::ops::RangeInclusive<usize> = 8..=2_048;
const BEGIN: &str = "{secret.";

/// The option `secrets`, checked. `Debug` shows only the names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct NamedSecrets(Option<Arc<Members>>);

impl NamedSecrets {
    /// Checks names and values.
    ///
    /// ```
    /// use herald_core::subscription::secrets::NamedSecrets;
    ///
    /// let secrets = NamedSecrets::new([("slack".into(), "T00000/B00000/xyz".into())].into()).unwrap();
    /// assert_eq!(secrets.fill_url("https://example.com/{secret.slack}").unwrap(), "https://example.com/T00000/B00000/xyz");
    /// assert_eq!(secrets.hide("no T00000/B00000/xyz here"), "no *** here");
    /// ```
    pub fn new(members: Members) -> Result<NamedSecrets, Error> {
        if members.len() > MAX_SECRETS {
            return Err(refused(
                format!(
                    "It has {} members; allowed are {MAX_SECRETS}.",
                    members.len()
                ),
                "Leave out what nothing names.".into(),
            ));
        }
        for (name, value) in &members {
            let is_name_byte =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(is_name_byte) {
                return Err(refused(
                    format!("{name:?} is not a valid name for a secret."),
                    format!(
                        "A name has 1 to {MAX_NAME} lower-case letters, digits and underscores."
                    ),
                ));
            }
            if value != HIDDEN && !is_value(value) {
                return Err(refused(
                    format!("The value of {name:?} cannot be one of a secret."),
                    format!(
                        "A value has {} to {} visible ASCII characters, and none of \" ' \\ < > {{ }} ` # ^ |.",
                        VALUE_BYTES.start(),
                        VALUE_BYTES.end()
                    ),
                ));
            }
        }
        Ok(NamedSecrets(
            (!members.is_empty()).then(|| Arc::new(members)),
        ))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(String::as_str)
    }

    /// Returns names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let members = self.0.iter().flat_map(|members| members.iter());
        members.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Fills in the secrets that a url's path and query name, unencoded.
    pub fn fill_url(&self, url: &str) -> Result<String, Error> {
        let begin = url.find("://").map_or(0, |at| at + 3);
        let path_at = url[begin..]
            .find(['/', '?', '#'])
            .map_or(url.len(), |at| begin + at);
        let fault = |(fault, hint)| Error::Url { fault, hint };
        if url[..path_at].contains(BEGIN) {
            return Err(fault((
                "It has a secret before its path.".into(),
                "Fix the host, and name secrets in the path and the query.".into(),
            )));
        }
        self.fill(url).map_err(fault)
    }

    /// Fills in the secrets that a header's value names.
    pub fn fill_header(&self, name: &str, value: &str) -> Result<String, Error> {
        self.fill(value).map_err(|(fault, hint)| Error::Header {
            name: name.to_owned(),
            fault,
            hint,
        })
    }

    /// Fills in the secrets that a text names. The error is the fault and a hint.
    fn fill(&self, text: &str) -> Result<String, (String, String)> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, from)) = rest.split_once(BEGIN) {
            filled.push_str(before);
            let Some((name, after)) = from.split_once('}') else {
                filled.push_str(BEGIN);
                rest = from;
                continue;
            };
            match self.get(name) {
                Some(value) => filled.push_str(value),
                None => return Err(self.unknown(name)),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Returns the fault of an unknown name, and a hint.
    pub fn unknown(&self, name: &str) -> (String, String) {
        let nearest = suggest::nearest(name, self.iter().map(|(name, _)| name));
        let hint = match nearest {
            Some(nearest) => format!("Perhaps you meant {nearest:?}."),
            None => format!("Give it too: secrets => '{{\"{name}\": \"...\"}}'."),
        };
        (format!("The subscription has no secret {name:?}."), hint)
    }

    /// Returns the size of the longest value, in bytes.
    pub fn longest(&self) -> usize {
        self.iter()
            .map(|(_, value)| value.len())
            .max()
            .unwrap_or_default()
    }

    /// Hides the values of these secrets in a text.
    pub fn hide(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        // The longest first: a value may be part of another.
        let mut values: Vec<&str> = self.iter().map(|(_, value)| value).collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values {
            hidden = hidden.replace(value, HIDDEN);
        }
        hidden
    }
}

/// Returns whether a text can be a secret: it must look the same in a url, in a header and in JSON.
fn is_value(text: &str) -> bool {
    let stands_for_itself = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\<>{}`#^|".contains(&byte);
    VALUE_BYTES.contains(&text.len()) && text.bytes().all(stands_for_itself)
}

fn refused(fault: String, hint: String) -> Error {
    Error::Option {
        option: "secrets",
        fault,
        hint,
    }
}

impl std::fmt::Debug for NamedSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "s3cr3t/with?all&of=it";

    fn secrets(members: &[(&str, &str)]) -> Result<NamedSecrets, Error> {
        let members = members
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        NamedSecrets::new(members.collect())
    }

    #[test]
    fn a_secret_is_put_into_path_and_query_as_it_is_and_never_before() {
        let secrets = secrets(&[("a", VALUE), ("b_2", "12345678")]).unwrap();
        for (url, filled) in [
            ("https://h/{secret.a}", format!("https://h/{VALUE}")),
            (
                "https://h?k={secret.b_2}&t={tenant}",
                "https://h?k=12345678&t={tenant}".into(),
            ),
            (
                "https://h/{secret.b_2}{secret.b_2}",
                "https://h/1234567812345678".into(),
            ),
            ("https://h/{secret.", "https://h/{secret.".into()),
        ] {
            assert_eq!(secrets.fill_url(url).unwrap(), filled);
        }
        for url in [
            "https://{secret.a}/",
            "https://{secret.a}",
            "https://h:{secret.b_2}/x",
            "{secret.a}://h/",
            "{secret.a}",
        ] {
            assert!(secrets.fill_url(url).is_err(), "{url}");
        }
        let error = secrets.fill_url("https://h/{secret.b2}").unwrap_err();
        assert_eq!(error.hint().unwrap(), "Perhaps you meant \"b_2\".");
        assert!(secrets.fill_header("x-key", "Key {secret.c}").is_err());
        assert_eq!(
            secrets.fill_header("x-key", "Key {secret.b_2}").unwrap(),
            "Key 12345678"
        );
    }

    #[test]
    fn values_that_cannot_be_hidden_or_need_escaping_are_refused() {
        for value in [
            "",
            "1234567",
            "a b c d e f",
            "12345678\"",
            "1234567\n",
            "12345678ä",
            "1234567#8",
            "{secret.a}",
            &"x".repeat(2_049),
        ] {
            assert!(secrets(&[("a", value)]).is_err(), "{value}");
        }
        for name in ["", "A", "a-b", "a.b", &"a".repeat(64)] {
            assert!(secrets(&[(name, VALUE)]).is_err(), "{name}");
        }
        let names: Vec<_> = (0..33).map(|n| format!("a{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), VALUE)).collect();
        assert!(secrets(&many).is_err() && secrets(&many[..32]).is_ok());
        // `***` stands for a kept value, which is not shown here.
        assert!(secrets(&[("a", "***")]).is_ok());
    }

    #[test]
    fn no_value_is_ever_shown() {
        let secrets = secrets(&[("a", "12345678"), ("b", "0123456789")]).unwrap();
        assert_eq!(
            secrets.hide("12345678, 0123456789 and 1234567"),
            "***, *** and 1234567"
        );
        assert_eq!(format!("{secrets:?}"), r#"{"a", "b"}"#);
        let error = NamedSecrets::new([("a".into(), "hunter2".into())].into()).unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("hunter2"));
    }
}
