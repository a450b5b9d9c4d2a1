//! The time needed to find an event's subscriptions.

use std::hint::black_box;
use std::time::Instant;

use herald_core::egress::url_policy::UrlPolicy;
use herald_core::subscription::matcher::Matcher;
use herald_core::subscription::{Subscription, SubscriptionOptions};
use herald_trial::{Error, Result};

use crate::Finding;
use crate::finding::Figure;
use crate::rig::Rig;
use crate::size::Size;

const EVENTS: usize = 20_000;

/// Returns `count` subscriptions, of which at most ten want any event: exact types, prefixes, and globs in the middle.
fn subscriptions(count: usize) -> Result<Vec<Subscription>> {
    let policy = UrlPolicy::default();
    (0..count)
        .map(|n| {
            let (kind, shop) = (["paid", "sent", "lost"][n % 3], n / 5);
            let glob = match n % 5 {
                0 | 1 => format!("shop{shop}.order.{kind}"),
                2 | 3 => format!("shop{shop}.*"),
                _ => format!("shop{shop}.*.{kind}"),
            };
            let options = SubscriptionOptions {
                id: n as i64,
                types: vec![glob],
                ..SubscriptionOptions::new("shop", "https://example.com/")
            };
            options
                .compile(&policy)
                .map_err(|error| Error::Setup(format!("{error:?}")))
        })
        .collect()
}

/// Returns microseconds per event, and the most matches of an event.
fn match_all(count: usize) -> Result<(f64, usize)> {
    let matcher = Matcher::new(&subscriptions(count)?);
    let types: Vec<String> = (0..EVENTS)
        .map(|n| format!("shop{}.order.paid", n % (count / 5).max(1)))
        .collect();
    let (mut found, mut most) = (Vec::new(), 0);
    let began_at = Instant::now();
    for event_type in &types {
        matcher.matching_into(black_box(event_type), None, &mut found);
        most = most.max(found.len());
    }
    Ok((began_at.elapsed().as_secs_f64() * 1e6 / EVENTS as f64, most))
}

pub fn against_many(_: &Rig, size: Size) -> Result<Finding> {
    let mut figures = Vec::new();
    for count in [10, 1_000, 10_000] {
        let (mut took, mut most) = (Vec::new(), 0);
        for _ in 0..size.of(3, 9) {
            let (micros, matched) = match_all(count)?;
            took.push(micros);
            most = most.max(matched);
        }
        let figure = Figure::new(
            format!("{count} subscriptions, of which at most {most} match"),
            "us",
            took,
        );
        figures.push(if count == 10_000 {
            figure.at_most(50.0)
        } else {
            figure
        });
    }
    Ok(Finding::new("Matching one event", figures))
}
