//! What filters see of an event: its attributes as they are sent, and its data.
//!
//! The data is read when the first filter asks for it, and once only.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use super::bounds::{MAX_DATA_BYTES, MAX_WORK};
use super::paths::Paths;
use super::read::{Unreadable, Wanted, read};
use super::value::{Members, Value};
use crate::event::Event;
use crate::request::format::{added_attributes, sent_time};

/// An event before the filters of one or more subscriptions.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::filter::{Filter, View};
///
/// let filter = Filter::parse(r#"{"data": {"total": ">= 100"}}"#).unwrap();
/// let event = Event { data: Some(r#"{"total": 250}"#.into()), ..Event::new("1", "/shop", "order.paid", 0) };
/// assert_eq!(filter.matches(&View::new(&event, filter.paths())), Ok(true));
/// ```
#[derive(Debug)]
pub struct View<'e> {
    event: &'e Event,
    wanted: &'e Paths,
    data: OnceCell<Result<Option<Value<'e>>, Unreadable>>,
    extensions: OnceCell<Members<'e>>,
    added: OnceCell<Vec<(&'static str, String)>>,
    /// The work that filters have done on the data.
    worked: Cell<u64>,
}

impl<'e> View<'e> {
    /// Shows an event to filters, all of whose paths must be in `wanted`.
    pub fn new(event: &'e Event, wanted: &'e Paths) -> View<'e> {
        View {
            event,
            wanted,
            data: OnceCell::new(),
            extensions: OnceCell::new(),
            added: OnceCell::new(),
            worked: Cell::new(0),
        }
    }

    /// Counts the work of comparing values with so many others. An error says that it is too much.
    pub(super) fn work(&self, weight: u64, comparisons: usize) -> Result<(), Unreadable> {
        let worked = self.worked.get() + weight * comparisons as u64;
        if worked > MAX_WORK {
            return Err(Unreadable::TooLong);
        }
        self.worked.set(worked);
        Ok(())
    }

    /// Shows the same event to a filter with these paths alone.
    pub fn with<'v>(&self, wanted: &'v Paths) -> View<'v>
    where
        'e: 'v,
    {
        View::new(self.event, wanted)
    }

    /// Returns an attribute as the event is sent in the profile `detailed`, which has all of them. An extension keeps
    /// its JSON type.
    pub fn attribute(&self, name: &str) -> Option<Value<'_>> {
        let event = self.event;
        let text: &str = match name {
            "specversion" => "1.0",
            "id" => &event.id,
            "source" => &event.source,
            "type" => &event.r#type,
            "subject" => event.subject.as_deref()?,
            "time" => return sent_time(event).map(|time| Value::String(time.into())),
            // The data of an event need not be loaded.
            "datacontenttype" if event.data.is_some() || event.size > 0 => "application/json",
            "datacontenttype" => return None,
            "dataschema" => event.dataschema.as_deref()?,
            "partitionkey" => event.key.as_deref()?,
            extension => return self.extension(extension),
        };
        Some(Value::String(Cow::Borrowed(text)))
    }

    fn extension(&self, name: &str) -> Option<Value<'_>> {
        let given = self.extensions.get_or_init(|| {
            let json = self.event.extensions.as_deref().unwrap_or("{}");
            match read(json, Wanted::Everything) {
                Ok(Some(Value::Object(members))) => members,
                _ => Members::default(),
            }
        });
        if let Some(value) = given.get(name) {
            return Some(value.clone());
        }
        let added = self.added.get_or_init(|| added_attributes(self.event));
        let (_, text) = added.iter().find(|(other, _)| *other == name)?;
        Some(Value::String(Cow::Borrowed(text)))
    }

    /// Returns what is wanted of the data; `None` if nothing of it is there, or the event has none.
    pub fn data(&self) -> Result<Option<&Value<'e>>, Unreadable> {
        let data = self.data.get_or_init(|| match &self.event.data {
            _ if self.event.size > MAX_DATA_BYTES => Err(Unreadable::TooLarge),
            Some(json) => read(json, Wanted::Paths(self.wanted)),
            None if self.event.size > 0 => Err(Unreadable::Missing),
            None => Ok(None),
        });
        data.as_ref().map(Option::as_ref).map_err(|fault| *fault)
    }
}
