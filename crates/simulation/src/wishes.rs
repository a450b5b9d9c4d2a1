//! The subscriptions that schedules wish for, and what these ask for.

use std::sync::Arc;

use herald_core::egress::url_policy::UrlPolicy;
use herald_core::event::Event;
use herald_core::subscription::options::Span;
use herald_core::subscription::rate::Rate;
use herald_core::subscription::{Subscription, SubscriptionOptions};
use herald_dispatch::lane::keys::Rank;

use crate::database::rows::{EventRow, SubscriptionRow};
use crate::deed::Wish;

impl SubscriptionRow {
    /// Returns whether it may wait for long although its receiver is healthy.
    pub fn may_be_slow(&self) -> bool {
        let config = &self.config;
        config.rate.is_some()
            || config.rate_limit.is_some()
            || config.breaker.is_some()
            || config.ordering.is_some()
    }

    /// Returns the place of an event that is sent again.
    pub fn rank_of(&self, event: &Event, next_number: i64) -> Option<Rank> {
        let ordering = self.config.ordering?;
        Some(Rank {
            key: ordering.by.number(event)?,
            at: next_number,
            seq: event.seq,
        })
    }

    /// Returns whether it asks for this event, whenever the event was written.
    pub fn wants(&self, row: &EventRow) -> bool {
        let is_wanted = self
            .wants
            .is_none_or(|wants| row.event.r#type == type_name(wants));
        let is_for_it = self
            .tenant
            .as_deref()
            .is_none_or(|tenant| row.event.tenant.as_deref() == Some(tenant));
        is_wanted && is_for_it
    }
}

/// Returns a rate per second.
pub fn per_second(count: u32) -> Rate {
    Rate::parse("rate_limit", &format!("{count}/s")).expect("a schedule has valid rates only")
}

/// Returns the subscription that a schedule wishes for.
pub fn compiled(id: i64, wish: &Wish) -> Subscription {
    let options = SubscriptionOptions {
        id,
        types: vec![wish.wants.map_or("*".into(), type_name)],
        tenant: wish.tenant.map(|tenant| tenant_name(tenant).to_string()),
        max_concurrency: wish.max_concurrency,
        max_attempts: wish.max_attempts,
        retry_schedule: wish.retry_schedule.iter().copied().map(Span).collect(),
        timeout: Span(wish.timeout),
        max_backlog: wish.max_backlog,
        max_age: wish.max_age.map(Span),
        rate: wish.rate,
        rate_limit: wish.rate_limit.map(|rate| format!("{rate}/s")),
        gone: if wish.survives_gone {
            "dead"
        } else {
            "disable"
        }
        .into(),
        max_payload: 16 << 20,
        ..SubscriptionOptions::new(&format!("s{id}"), "https://example.com/")
    };
    let compiled = options
        .compile(&UrlPolicy::default())
        .expect("a schedule has valid options only");
    Subscription {
        breaker: wish.breaker,
        ordering: wish.ordering,
        ..compiled
    }
}

pub fn type_name(number: u8) -> String {
    format!("order.t{number}")
}

pub fn tenant_name(number: u8) -> Arc<str> {
    format!("tenant{number}").into()
}
