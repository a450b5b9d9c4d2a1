//! The target: the url that a request goes to, fixed or with [placeholders](crate::request::placeholders) in its path
//! and query.
//!
//! Host and port are always fixed: an event never decides which server is called.

use std::fmt;

use http::Uri;

use crate::egress::url_policy::{MAX_URL_BYTES, UrlPolicy};
use crate::error::Error;
use crate::event::Event;
use crate::request::placeholders::Pattern;

/// Stands for a placeholder while the URL is parsed, which leaves letters and digits unchanged.
const MARK: &str = "0heraldplaceholder0";

/// Where the requests of a subscription go. `Debug` shows only the host, because a url often carries a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The url; only its origin, if the rest has placeholders.
    url: Uri,
    /// The origin, and the rest from the path on, if that has placeholders.
    path: Option<(String, Pattern)>,
}

impl Target {
    /// Checks the text of a url and normalises it.
    ///
    /// ```
    /// use herald_core::{event::Event, request::target::Target, egress::url_policy::UrlPolicy};
    ///
    /// let policy = UrlPolicy::default();
    /// let target = Target::parse("https://Example.com/of/{tenant}?type={type}", &policy).unwrap();
    /// let event = Event { tenant: Some("a/b".into()), ..Event::new("1", "/", "order.paid", 0) };
    /// assert_eq!(target.for_event(&event).unwrap(), "https://example.com/of/a%2Fb?type=order.paid");
    /// assert!(Target::parse("https://{tenant}.example.com/", &policy).is_err());
    /// ```
    pub fn parse(text: &str, policy: &UrlPolicy) -> Result<Target, Error> {
        let pattern = Pattern::parse(text);
        pattern
            .check()
            .map_err(|(fault, hint)| refused(&fault, &hint))?;
        if !pattern.has_placeholders() {
            let url = policy.check_url(text)?;
            return Ok(Target {
                url: to_uri(url.as_str())?,
                path: None,
            });
        }
        if text.contains(MARK) {
            return Err(refused(
                "It contains a text that is kept for placeholders.",
                "Use another path.",
            ));
        }
        let Ok(marked) =
            pattern.fill(|name| Ok::<_, std::convert::Infallible>(format!("{MARK}{name}0")));
        let url = policy.check_url(&marked)?;
        let text = url.as_str();
        let path_at = text.len() - url[url::Position::BeforePath..].len();
        let (origin, path) = text.split_at(path_at);
        if origin.contains(MARK) {
            return Err(refused(
                "It has a placeholder before its path.",
                "Fix the host, and use placeholders in the path and the query.",
            ));
        }
        let mut restored = String::new();
        for (position, part) in path.split(MARK).enumerate() {
            match part.split_once('0').filter(|_| position > 0) {
                Some((name, rest)) => {
                    restored.push('{');
                    restored.push_str(name);
                    restored.push('}');
                    restored.push_str(rest);
                }
                None => restored.push_str(part),
            }
        }
        Ok(Target {
            url: to_uri(origin)?,
            path: Some((origin.to_owned(), Pattern::parse(&restored))),
        })
    }

    /// Returns the url for an event. A fixed url shares its text.
    pub fn for_event(&self, event: &Event) -> Result<Uri, Error> {
        let Some((origin, path)) = &self.path else {
            return Ok(self.url.clone());
        };
        let url = format!("{origin}{}", path.for_url(event)?);
        if url.len() > 2 * MAX_URL_BYTES {
            return Err(Error::Unsendable {
                fault: format!("its url would have {} bytes", url.len()),
            });
        }
        url.parse().map_err(|_| Error::Unsendable {
            fault: "its url cannot be sent in a request".into(),
        })
    }

    /// Returns the host, without the dot that a name may end with.
    pub fn host(&self) -> &str {
        let host = self.url.host().unwrap_or_default();
        host.strip_suffix('.').unwrap_or(host)
    }

    /// Returns the url, or only its scheme, host and port if it has placeholders.
    pub fn origin(&self) -> &Uri {
        &self.url
    }
}

fn to_uri(text: &str) -> Result<Uri, Error> {
    text.parse().map_err(|_| {
        refused(
            "It contains characters that cannot be sent in a request.",
            "Percent-encode them.",
        )
    })
}

fn refused(fault: &str, hint: &str) -> Error {
    Error::Url {
        fault: fault.into(),
        hint: hint.into(),
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.url.host()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, Error> {
        let event = Event {
            subject: Some("a b".into()),
            extensions: Some(r#"{"r2d2":"x"}"#.into()),
            ..Event::new("1", "/", "order.paid", 0)
        };
        let target = Target::parse(text, &UrlPolicy::default())?;
        target.for_event(&event).map(|url| url.to_string())
    }

    #[test]
    fn a_fixed_url_is_normalised_and_used_as_it_is() {
        assert_eq!(
            filled("https://EXAMPLE.com").unwrap(),
            "https://example.com/"
        );
        assert_eq!(
            filled("https://example.com/%7Bx%7D").unwrap(),
            "https://example.com/%7Bx%7D"
        );
    }

    #[test]
    fn placeholders_are_filled_in_path_and_query() {
        assert_eq!(
            filled("https://example.com/{subject}/ü{r2d2}?t={type}&s={subject}").unwrap(),
            "https://example.com/a%20b/%C3%BCx?t=order.paid&s=a%20b"
        );
    }

    #[test]
    fn the_host_is_never_an_event_s() {
        for text in [
            "https://{subject}/",
            "https://{subject}.example.com/",
            "https://example.com:{r2d2}/",
            "https://{subject}@example.com/",
            "{type}://example.com/",
            "https://example.com{subject}/",
        ] {
            assert!(filled(text).is_err(), "{text}");
        }
    }
}
