//! Templates: bodies for a receiver, written by the user in minijinja (Jinja2).
//!
//! Templates run in a send thread on arbitrary data of events, so they are bounded: in steps (fuel), in bytes, in
//! depth. A template sees the event and nothing else. If the body is JSON, each value is written as JSON, with its
//! quotes, so that no data can change the meaning of the rest.

use std::fmt;
use std::io;
use std::sync::Arc;

use http::HeaderValue;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use crate::error::Error;
use crate::event::Event;
use crate::subscription::secrets::NamedSecrets;
use crate::suggest;

mod bounds;
mod data;
mod filters;
mod json;
mod output;
mod values;

use values::values;

/// The maximum steps of rendering: a loop over some ten thousand values.
const FUEL: u64 = 200_000;
/// The maximum number of nested loops and other scopes.
const MAX_SCOPES: usize = 64;

/// A template that was parsed and tried.
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    name: &'static str,
    content_type: HeaderValue,
}

impl Template {
    /// Parses a template, and tries it with an example event.
    ///
    /// ```
    /// use herald_core::{event::Event, request::format::Template};
    ///
    /// let template = Template::new(r#"{"text": {{ "Order " ~ subject ~ " is " ~ data.record.status }} }"#, None).unwrap();
    /// let event = Event {
    ///     subject: Some("42".into()),
    ///     data: Some(r#"{"record":{"status":"\"paid\""}}"#.into()),
    ///     ..Event::new("1", "/shop", "order.paid", 0)
    /// };
    /// assert_eq!(template.render(&event, 1000).unwrap(), r#"{"text": "Order 42 is \"paid\"" }"#);
    /// let error = Template::new("{{ type | upcase }}", None).unwrap_err();
    /// assert_eq!(error.detail().unwrap(), "Line 1: unknown filter: filter upcase is unknown.");
    /// ```
    pub fn new(source: &str, content_type: Option<HeaderValue>) -> Result<Template, Error> {
        Template::with_secrets(source, content_type, &NamedSecrets::default())
    }

    /// Parses a template that may name these secrets as `secrets.NAME`, and tries it.
    pub fn with_secrets(
        source: &str,
        content_type: Option<HeaderValue>,
        secrets: &NamedSecrets,
    ) -> Result<Template, Error> {
        bounds::check(source)
            .map_err(|fault| refused(fault, "Use a shorter template, in smaller parts."))?;
        let content_type =
            content_type.unwrap_or_else(|| HeaderValue::from_static("application/json"));
        // The name's ending tells minijinja how to write values.
        let name = match media_type(&content_type) {
            media if is_json(&media) => "template.json",
            media if media.ends_with("xml") || media == "text/html" => "template.xml",
            _ => "template.txt",
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_SCOPES);
        // `namespace` would carry values from one turn of a loop to the next, which could grow without end (see
        // `bounds`); `debug` shows more than the event.
        environment.remove_global("namespace");
        environment.remove_global("debug");
        environment.add_global("secrets", Value::from_pairs(secrets.iter()));
        output::guard(&mut environment);
        filters::add(&mut environment);
        environment
            .add_template_owned(name, source.to_owned())
            .map_err(|error| refused(words(&error), "See the syntax of Jinja2 templates."))?;
        let template = Template {
            environment: Arc::new(environment),
            name,
            content_type,
        };
        template.check_names(secrets)?;
        template.try_out()?;
        Ok(template)
    }

    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }

    pub fn is_json(&self) -> bool {
        is_json(&media_type(&self.content_type))
    }

    /// Returns the body for an event, of at most `limit` bytes.
    pub fn render(&self, event: &Event, limit: usize) -> Result<String, Error> {
        let unsendable = |fault: String| Error::Unsendable { fault };
        let mut output = Limited {
            bytes: Vec::new(),
            limit,
        };
        let template = self
            .environment
            .get_template(self.name)
            .map_err(|error| unsendable(words(&error)))?;
        let rendered = template.render_captured_to(values(event)?, &mut output);
        match rendered.map(drop) {
            Err(error) if error.kind() == ErrorKind::WriteFailure => {
                return Err(Error::TooLarge {
                    size: limit.saturating_add(1),
                    limit,
                });
            }
            Err(error) => {
                return Err(unsendable(format!(
                    "its template failed. {}",
                    words(&error)
                )));
            }
            Ok(()) => {}
        }
        let text = String::from_utf8(output.bytes)
            .map_err(|_| unsendable("its template made no text".into()))?;
        if self.is_json()
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text)
        {
            return Err(unsendable(format!("its template made no JSON: {error}")));
        }
        Ok(text)
    }

    /// Refuses an unknown variable or secret, which would always be written as nothing.
    fn check_names(&self, secrets: &NamedSecrets) -> Result<(), Error> {
        let template = self.environment.get_template(self.name);
        let nested = template
            .as_ref()
            .map(|template| template.undeclared_variables(true));
        for name in nested.iter().flatten() {
            let secret = name.strip_prefix("secrets.");
            let secret = secret.map(|path| path.split('.').next().unwrap_or_default());
            if let Some(secret) = secret.filter(|name| !secrets.has(name)) {
                let (fault, hint) = secrets.unknown(secret);
                return Err(refused(fault, &hint));
            }
        }
        let names = template.map(|template| template.undeclared_variables(false));
        let known = values(&example())?;
        let known: Vec<Value> = known.try_iter().into_iter().flatten().collect();
        let known = known.iter().filter_map(Value::as_str);
        let functions = self.environment.globals().map(|(name, _)| name);
        let known: Vec<&str> = known.chain(functions).collect();
        let mut unknown = names.unwrap_or_default();
        unknown.retain(|name| !known.contains(&name.as_str()));
        let Some(name) = unknown.into_iter().min() else {
            return Ok(());
        };
        Err(refused(
            format!("Neither an event nor a template has {name:?}."),
            &match suggest::nearest(&name, known.iter().copied()) {
                Some(nearest) => format!("Perhaps you meant \"{nearest}\"."),
                None => "What is in the data of an event begins with data, as in data.record.id."
                    .to_owned(),
            },
        ))
    }

    /// Renders an example, so that the author of a template sees its mistakes, not the dead letters.
    fn try_out(&self) -> Result<(), Error> {
        match self.render(&example(), usize::MAX - 1) {
            Ok(_) => Ok(()),
            // The example lacks the events' own data: `data.total * 2` is not a mistake.
            Err(Error::Unsendable { fault }) if fault.contains(" undefined") => Ok(()),
            Err(Error::Unsendable { fault }) if fault.starts_with("its template made no JSON") => {
                Err(refused(
                    format!("With an example, {fault}."),
                    "In JSON a value brings its own quotes: write {\"name\": {{ data.record.name }}}, or set content_type.",
                ))
            }
            Err(error) => {
                let fault = match error {
                    Error::Unsendable { fault } => {
                        fault.trim_start_matches("its template failed. ").to_owned()
                    }
                    other => other.message(),
                };
                Err(refused(fault, "See the syntax of Jinja2 templates."))
            }
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}

/// Returns an event with every attribute.
fn example() -> Event {
    Event {
        seq: 1,
        subject: Some("42".into()),
        key: Some("42".into()),
        tenant: Some("acme".into()),
        extensions: Some(r#"{"region":"eu"}"#.into()),
        context: Some(r#"{"role":"app","actor":"ada","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#.into()),
        data: Some(
            concat!(
                r#"{"operation":"update","schema":"public","table":"orders","record":{"id":42,"status":"paid","total":9.5},"#,
                r#""old_record":{"id":42,"status":"open","total":9.5},"changed":["status"]}"#
            )
            .into(),
        ),
        ..Event::new("01890a5d-ac96-774b-bcce-b302099a8057", "/example", "public.orders.updated", 1_767_323_045_678_901)
    }
}

fn media_type(content_type: &HeaderValue) -> String {
    let text = content_type.to_str().unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

fn words(error: &minijinja::Error) -> String {
    let line = error
        .line()
        .map_or(String::new(), |line| format!("Line {line}: "));
    let detail = error
        .detail()
        .map_or(String::new(), |detail| format!(": {detail}"));
    format!("{line}{}{detail}.", error.kind())
}

fn refused(fault: String, hint: &str) -> Error {
    Error::Option {
        option: "template",
        fault,
        hint: hint.into(),
    }
}

/// A writer of at most `limit` bytes.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
