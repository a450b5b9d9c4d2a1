//! Sent requests as they are kept for people.

use serde_json::{Map, Value, json};

use super::http_request::HttpRequest;
use crate::subscription::secrets::HIDDEN;

/// The maximum size of a kept request, in bytes of JSON.
pub const MAX_KEPT_BYTES: usize = 8_192;
/// The maximum size of its URL, in bytes.
const MAX_URL_BYTES: usize = 2_048;
/// The maximum size of all its headers, in bytes.
const MAX_HEADERS_BYTES: usize = 4_096;

impl HttpRequest {
    /// Returns the method, URL, headers and body as JSON of at most [`MAX_KEPT_BYTES`]. Secrets are `***`; long parts
    /// are cut or left out, and `body_bytes` is the length of the body.
    pub fn kept(&self) -> String {
        let mut headers = Map::new();
        let mut left = MAX_HEADERS_BYTES;
        for (name, value) in &self.headers {
            let value = match value.is_sensitive() {
                true => HIDDEN.to_owned(),
                false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            };
            match left.checked_sub(name.as_str().len() + value.len()) {
                Some(rest) => left = rest,
                None => continue,
            }
            headers.insert(name.as_str().to_owned(), Value::String(value));
        }
        let url = self.secrets.hide(&self.url.to_string());
        let body = self.secrets.hide(&self.readable_body(false));
        // Escapes in JSON take more room, so the body is cut until it fits.
        let mut room = MAX_KEPT_BYTES;
        loop {
            let kept = json!({
                "method": self.method.as_str(),
                "url": cut(&url, MAX_URL_BYTES),
                "headers": headers,
                "body": cut(&body, room),
                "body_bytes": self.body.len(),
            })
            .to_string();
            if kept.len() <= MAX_KEPT_BYTES {
                return kept;
            }
            if room == 0 {
                headers.clear();
            }
            room = room
                .min(body.len())
                .saturating_sub(kept.len() - MAX_KEPT_BYTES);
        }
    }
}

/// Returns the beginning of a text. Replaces NUL, which PostgreSQL's `json` cannot contain.
fn cut(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    text[..end].replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::subscription::secrets::NamedSecrets;

    fn request(url: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> HttpRequest {
        let headers = headers.iter().map(|(name, value)| {
            let mut value = HeaderValue::from_str(value).unwrap();
            value.set_sensitive(*name == "x-key");
            (HeaderName::from_static(name), value)
        });
        HttpRequest {
            method: Method::POST,
            url: url.parse().unwrap(),
            headers: headers.collect(),
            body,
            timeout: std::time::Duration::from_secs(1),
            oauth2: None,
            secrets: NamedSecrets::new([("a".into(), "0123456789".into())].into()).unwrap(),
            keeps: true,
            signature_at: None,
        }
    }

    #[test]
    fn a_request_is_kept_without_what_is_secret() {
        let sent = request(
            "https://example.com/0123456789?a=b",
            &[("x-key", "hunter2"), ("x-shop", "eu")],
            br#"{"key":"0123456789"}"#.to_vec(),
        );
        let kept: Value = serde_json::from_str(&sent.kept()).unwrap();
        let expected = json!({
            "method": "POST",
            "url": "https://example.com/***?a=b",
            "headers": {"x-key": "***", "x-shop": "eu"},
            "body": r#"{"key":"***"}"#,
            "body_bytes": 20,
        });
        assert_eq!(kept, expected);
    }

    proptest! {
        #[test]
        fn a_kept_request_stays_within_its_limit(
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..20_000),
                proptest::collection::vec(Just(b'"'), 0..20_000),
                proptest::collection::vec(Just(0), 0..20_000),
                "[a-zäß€😀]{0,9000}".prop_map(String::into_bytes),
            ],
            path in "[a-z]{0,9000}",
            header in "[ -~]{0,9000}",
        ) {
            let kept = request(&format!("https://example.com/{path}"), &[("x-shop", &header), ("x-key", "k")], body).kept();
            prop_assert!(kept.len() <= MAX_KEPT_BYTES);
            let read: Value = serde_json::from_str(&kept).unwrap();
            prop_assert_eq!(&read["method"], "POST");
            prop_assert!(!kept.contains("\\u0000"));
        }
    }
}
