//! The option `ordering`: which deliveries of a subscription follow each other.

use std::time::Duration;

use crate::attempt::retry::later;
use crate::error::Error;
use crate::event::Event;
use crate::hash::hash;
use crate::subscription::options::limits::choice;

/// Which deliveries follow each other, and how long one may hold those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordering {
    pub by: OrderedBy,
    /// A dead letter holds those behind it until it is sent again or skipped.
    pub dead_blocks: bool,
    /// How long a delivery may fail while others wait behind it.
    pub max_block: Option<Duration>,
}

/// Which deliveries follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderedBy {
    /// Those whose events have the same tenant, source and key.
    Key,
    /// All.
    Strict,
}

impl Ordering {
    /// Returns until when a delivery is tried that has blocked others since then; `None` for as long as others are.
    pub fn latest_retry(self, since_micros: i64) -> Option<i64> {
        self.max_block.map(|most| later(since_micros, most))
    }
}

impl OrderedBy {
    /// Parses the option. `None` if each delivery goes its own way.
    ///
    /// ```
    /// use herald_core::subscription::ordering::OrderedBy;
    ///
    /// assert_eq!(OrderedBy::parse("key"), Ok(Some(OrderedBy::Key)));
    /// assert_eq!(OrderedBy::parse("none"), Ok(None));
    /// let error = OrderedBy::parse("fifo").unwrap_err();
    /// assert_eq!(error.hint().unwrap(), "Use one of none, key, strict.");
    /// ```
    pub fn parse(text: &str) -> Result<Option<Self>, Error> {
        let choices = [
            ("none", None),
            ("key", Some(Self::Key)),
            ("strict", Some(Self::Strict)),
        ];
        choice("ordering", text, &choices)
    }

    /// Returns the number of the deliveries that an event's follows; `None` if it follows none.
    ///
    /// It is the same on every server and stored with what is pending. Two keys that share a number follow each other
    /// too, which delays them and breaks no promise.
    ///
    /// ```
    /// use herald_core::event::Event;
    /// use herald_core::subscription::ordering::OrderedBy;
    ///
    /// let event = |source, key: Option<&str>| Event { key: key.map(Into::into), ..Event::new("", source, "order.paid", 0) };
    /// let number = |source, key| OrderedBy::Key.number(&event(source, key));
    /// assert_eq!(number("/shop", Some("7")), number("/shop", Some("7")));
    /// assert_ne!(number("/shop", Some("7")), number("/farm", Some("7")));
    /// assert_eq!(number("/shop", None), None);
    /// assert_eq!(OrderedBy::Strict.number(&event("/shop", None)), Some(0));
    /// ```
    pub fn number(self, event: &Event) -> Option<i64> {
        match self {
            Self::Key => {
                let key = event.key.as_deref()?;
                Some(number_of(event.tenant.as_deref(), &event.source, key))
            }
            Self::Strict => Some(0),
        }
    }
}

fn number_of(tenant: Option<&str>, source: &str, key: &str) -> i64 {
    let number = match tenant {
        Some(tenant) => hash(&["order", tenant, source, key]),
        None => hash(&["order", source, key]),
    };
    number.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_tenants_and_sources_are_different() {
        let numbers = [
            number_of(None, "/shop", "7"),
            number_of(Some(""), "/shop", "7"),
            number_of(Some("acme"), "/shop", "7"),
            number_of(None, "/sho", "p7"),
            number_of(None, "/shop", "8"),
        ];
        for (place, number) in numbers.iter().enumerate() {
            assert!(!numbers[place + 1..].contains(number), "{numbers:?}");
        }
    }

    #[test]
    fn a_number_is_the_same_on_every_server() {
        assert_eq!(
            number_of(Some("acme"), "/shop", "7"),
            -128_536_506_218_787_522
        );
    }
}
