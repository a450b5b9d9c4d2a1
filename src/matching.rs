//! The matcher for SQL: whether an event is for a subscription, by the worker's own rules.
//!
//! `replay` and `subscribe(start_from)` ask about every event of the log, so types and selections are compiled once and
//! cached.

use crate::errors::invalid;
use crate::pg::time::unix_micros;
use herald_core::event::Event;
use herald_core::filter::sample::parse_structured;
use herald_core::filter::{Filter, View};
use herald_core::subscription::globs::TypeGlobs;
use herald_core::subscription::selection::{Contender, Selection};
use herald_core::subscription::wanted::Wanted;
use herald_core::subscription::{State, SubscriptionOptions};
use pgrx::datum::{TimestampWithTimeZone, Uuid};
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

/// The most entries kept compiled.
const MOST_COMPILED: usize = 64;
/// The most bytes of selections kept compiled: one may have the filters and types of a hundred subscriptions.
const MOST_BYTES: usize = 8_000_000;

/// The stored types, and the tenant.
type Key = (Vec<Option<String>>, Option<String>);

thread_local! {
    static WANTED: RefCell<HashMap<Key, Rc<Wanted>>> = RefCell::default();
    static SELECTIONS: RefCell<HashMap<String, Option<Rc<Selection>>>> = RefCell::default();
}

/// Returns the entry of this key, which it makes if necessary.
fn cached<K: Eq + Hash, V: Clone>(
    cache: &RefCell<HashMap<K, V>>,
    key: K,
    make: impl FnOnce(&K) -> V,
) -> V {
    let cache = &mut *cache.borrow_mut();
    if let Some(value) = cache.get(&key) {
        return value.clone();
    }
    let value = make(&key);
    if cache.len() >= MOST_COMPILED {
        cache.clear();
    }
    cache.insert(key, value.clone());
    value
}

/// Returns what a subscription with these types and this tenant wants.
fn wanted(types: Vec<Option<String>>, tenant: Option<String>) -> Rc<Wanted> {
    WANTED.with(|cache| {
        cached(cache, (types, tenant), |(types, tenant)| {
            let types: Option<Vec<String>> = types.iter().cloned().collect();
            Rc::new(Wanted::new(
                &types.unwrap_or_default(),
                tenant.clone(),
                None,
            ))
        })
    })
}

/// Returns the selection that `selection_of` wrote; `None` if it cannot be read.
fn selection(text: &str) -> Option<Rc<Selection>> {
    #[derive(Deserialize)]
    struct Written {
        own: WrittenContender,
        others: Vec<WrittenContender>,
    }
    #[derive(Deserialize)]
    struct WrittenContender {
        id: i64,
        name: String,
        types: Vec<Option<String>>,
        tenant: Option<String>,
        state: String,
        options: Box<RawValue>,
    }
    let contender = |written: WrittenContender| {
        let types: Option<Vec<String>> = written.types.into_iter().collect();
        let options = SubscriptionOptions {
            types: types.unwrap_or_default(),
            tenant: written.tenant,
            state: State::parse(&written.state).unwrap_or(State::Paused),
            ..SubscriptionOptions::new("", "").with_selecting(written.options.get())
        };
        Contender {
            id: written.id,
            name: written.name,
            wanted: options.readable_wanted(),
        }
    };
    SELECTIONS.with(|cache| {
        let cache = &mut *cache.borrow_mut();
        if let Some(selection) = cache.get(text) {
            return selection.clone();
        }
        let written: Option<Written> = serde_json::from_str(text).ok();
        let selection = written.map(|written| {
            Rc::new(Selection {
                own: contender(written.own),
                others: written.others.into_iter().map(contender).collect(),
            })
        });
        let bytes: usize = cache.keys().map(String::len).sum();
        if cache.len() >= MOST_COMPILED || bytes + text.len() > MOST_BYTES {
            cache.clear();
        }
        cache.insert(text.to_owned(), selection.clone());
        selection
    })
}

/// Returns whether an event of this type and tenant is for a subscription with these types and this tenant.
#[pg_extern(sql = false)]
fn matches(
    types: Vec<Option<String>>,
    tenant: Option<String>,
    event_type: &str,
    event_tenant: Option<&str>,
) -> bool {
    wanted(types, tenant)
        .refusal(event_type, event_tenant)
        .is_none()
}

/// Returns whether a subscription with this selection gets an event of its types and tenant. An event whose data cannot
/// be read passes no filter.
#[pg_extern(sql = false)]
fn gets(
    selection: &str,
    event: pgrx::composite_type!('_, "herald.event"),
    extensions: Option<String>,
    context: Option<String>,
    data: Option<String>,
) -> bool {
    let selection = self::selection(selection);
    let event = event_of(&event, [extensions, context, data]);
    let (Some(selection), Some(event)) = (selection, event) else {
        return true;
    };
    selection.gets(&event).unwrap_or(false)
}

/// Returns in words which rule keeps an event from a subscription; null if none does.
#[pg_extern(sql = false)]
fn why_not(
    types: Vec<Option<String>>,
    tenant: Option<String>,
    selection: Option<&str>,
    event: pgrx::composite_type!('_, "herald.event"),
    extensions: Option<String>,
    context: Option<String>,
    data: Option<String>,
) -> Option<String> {
    let event = event_of(&event, [extensions, context, data])?;
    match selection.and_then(self::selection) {
        Some(selection) => selection.why_not(&event),
        None => wanted(types, tenant).why_not(&event),
    }
}

/// Returns whether these are valid types for a subscription.
#[pg_extern(sql = false)]
fn are_types(types: Vec<Option<String>>) -> bool {
    let types: Option<Vec<String>> = types.into_iter().collect();
    types.is_some_and(|types| TypeGlobs::parse(&types).is_ok())
}

/// Returns whether the options that decide which events a subscription gets can be read.
#[pg_extern(sql = false)]
fn are_selecting(options: &str) -> bool {
    SubscriptionOptions::can_select(options)
}

/// Returns whether an event passes a filter, and if not, the rule that decides and the value that it saw.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)]
fn test_filter(
    filter: &str,
    event: &str,
) -> Result<
    TableIterator<
        'static,
        (
            name!(matched, bool),
            name!(rule, Option<String>),
            name!(saw, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let filter = Filter::parse(filter).map_err(invalid)?;
    let event = parse_structured(event).map_err(invalid)?;
    let view = View::new(&event, filter.paths());
    let row = match filter.explain(&view) {
        Ok(None) => (true, None, None),
        Ok(Some(refusal)) => (false, Some(refusal.rule), Some(refusal.saw)),
        Err(unreadable) => (false, Some(unreadable.to_string()), None),
    };
    Ok(TableIterator::once(row))
}

/// Reads a row of the log; `None` if it lacks what every event has. Takes its extensions, context and data as texts.
fn event_of(
    row: &PgHeapTuple<'_, AllocatedByRust>,
    [extensions, context, data]: [Option<String>; 3],
) -> Option<Event> {
    let text = |name: &str| row.get_by_name::<String>(name).ok().flatten();
    let uid: Uuid = row.get_by_name("uid").ok().flatten()?;
    let uid = uuid::Uuid::from_bytes(*uid.as_bytes()).to_string();
    let time: TimestampWithTimeZone = row.get_by_name("time").ok().flatten()?;
    let id = text("id").unwrap_or_else(|| uid.clone());
    let event = Event {
        id,
        subject: text("subject"),
        key: text("key"),
        tenant: text("tenant"),
        dataschema: text("dataschema"),
        extensions,
        context,
        data,
        size: row.get_by_name("size").ok().flatten()?,
        ..Event::new(&uid, &text("source")?, &text("type")?, unix_micros(time))
    };
    Some(event)
}
