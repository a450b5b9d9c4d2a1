//! The matcher for SQL: whether an event is for a subscription, by the worker's own rules.
//!
//! `replay` and `subscribe(start_from)` ask about every event of the log, so the types and tenant of a subscription are
//! compiled once and cached.

use herald_core::subscription::globs::TypeGlobs;
use herald_core::subscription::matcher::Wanted;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The most entries kept compiled; each may have 64 kB of types.
const MOST_COMPILED: usize = 64;

/// The stored types, and the tenant.
type Key = (Vec<Option<String>>, Option<String>);

thread_local! {
    static COMPILED: RefCell<HashMap<Key, Rc<Wanted>>> = RefCell::default();
}

fn compiled(types: Vec<Option<String>>, tenant: Option<String>) -> Rc<Wanted> {
    let key = (types, tenant);
    COMPILED.with_borrow_mut(|compiled| {
        if let Some(wanted) = compiled.get(&key) {
            return Rc::clone(wanted);
        }
        let types: Option<Vec<String>> = key.0.iter().cloned().collect();
        let wanted = Rc::new(Wanted::new(&types.unwrap_or_default(), key.1.clone()));
        if compiled.len() >= MOST_COMPILED {
            compiled.clear();
        }
        compiled.insert(key, Rc::clone(&wanted));
        wanted
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
    compiled(types, tenant)
        .refusal(event_type, event_tenant)
        .is_none()
}

/// Returns in words which rule keeps an event from a subscription; null if none does.
#[pg_extern(sql = false)]
fn why_not(
    types: Vec<Option<String>>,
    tenant: Option<String>,
    event_type: &str,
    event_tenant: Option<&str>,
) -> Option<String> {
    let wanted = compiled(types, tenant);
    let refusal = wanted.refusal(event_type, event_tenant)?;
    Some(wanted.words(refusal, event_type, event_tenant))
}

/// Returns whether these are valid types for a subscription.
#[pg_extern(sql = false)]
fn are_types(types: Vec<Option<String>>) -> bool {
    let types: Option<Vec<String>> = types.into_iter().collect();
    types.is_some_and(|types| TypeGlobs::parse(&types).is_ok())
}
