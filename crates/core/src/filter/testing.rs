//! Helpers for tests.

use super::compiled::Filter;
use super::explain::Refusal;
use super::read::Unreadable;
use super::view::View;
use crate::error::Error;
use crate::event::Event;

/// An event with these data.
pub(super) fn event(data: &str) -> Event {
    Event {
        subject: Some("42".into()),
        data: Some(data.into()),
        extensions: Some(r#"{"level": 3, "region": "eu", "urgent": true}"#.into()),
        ..Event::new("u-1", "/shop", "order.paid", 1_767_323_045_000_000)
    }
}

pub(super) fn parse(filter: &str) -> Filter {
    Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"))
}

pub(super) fn outcome(filter: &str, event: &Event) -> Result<bool, Unreadable> {
    let filter = parse(filter);
    filter.matches(&View::new(event, filter.paths()))
}

/// Returns whether a filter matches an event with these data.
pub(super) fn matches(filter: &str, data: &str) -> bool {
    outcome(filter, &event(data)).unwrap_or_else(|fault| panic!("{data}: {fault}"))
}

/// Returns the rule that refuses an event, and what it saw.
pub(super) fn refusal(filter: &str, event: &Event) -> Option<(String, String)> {
    let filter = parse(filter);
    let refusal = filter.explain(&View::new(event, filter.paths()));
    let Refusal { rule, saw } = refusal.expect("the data can be read")?;
    Some((rule, saw))
}

/// Returns the detail and the hint of the error.
pub(super) fn fault(filter: &str) -> (String, String) {
    let error = Filter::parse(filter).expect_err(filter);
    assert!(matches!(
        error,
        Error::Option {
            option: "filter",
            ..
        }
    ));
    (
        error.detail().unwrap_or_default(),
        error.hint().unwrap_or_default(),
    )
}
