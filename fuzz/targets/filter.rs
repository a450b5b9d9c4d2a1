//! A filter says the same however it is asked: whether it matches, why not, and beside other filters.
#![no_main]

use herald_core::event::Event;
use herald_core::filter::{Filter, View};
use libfuzzer_sys::fuzz_target;

// The first line is a filter, the second another one, and the rest is the event's data.
fuzz_target!(|input: &str| {
    let (first, rest) = input.split_once('\n').unwrap_or((input, ""));
    let (second, data) = rest.split_once('\n').unwrap_or((rest, "{}"));
    let (Ok(filter), other) = (Filter::parse(first), Filter::parse(second)) else {
        return;
    };
    let event = Event {
        subject: Some("42".into()),
        data: Some(data.into()),
        ..Event::new("1", "/shop", "order.paid", 0)
    };
    let view = View::new(&event, filter.paths());
    let outcome = filter.matches(&view);
    let explained = filter.explain(&view).map(|refusal| refusal.is_none());
    assert_eq!(outcome, explained);
    let mut paths = filter.paths().clone();
    if let Ok(other) = other {
        paths.extend(other.paths());
    }
    assert_eq!(filter.matches(&View::new(&event, &paths)), outcome);
});
