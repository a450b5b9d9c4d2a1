//! The time needed to find an event's subscriptions.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use herald_core::egress::url_policy::UrlPolicy;
use herald_core::event::Event;
use herald_core::subscription::matcher::{Found, Matcher};
use herald_core::subscription::options::Json;
use herald_core::subscription::wanted::Wanted;
use herald_core::subscription::{Subscription, SubscriptionOptions};
use herald_trial::{Error, Result};

use crate::Finding;
use crate::finding::Figure;
use crate::rig::Rig;
use crate::size::Size;

const EVENTS: usize = 20_000;
/// So many subscriptions want the same.
const MATCHING: usize = 10;

fn compiled(options: SubscriptionOptions) -> Result<Subscription> {
    let compiled = options.compile(&UrlPolicy::default());
    compiled.map_err(|error| Error::Setup(format!("{error:?}")))
}

/// Returns `count` subscriptions, of which at most ten want any event: exact types, prefixes, and globs in the middle.
fn by_type(count: usize) -> Result<Vec<Subscription>> {
    (0..count)
        .map(|n| {
            let (kind, shop) = (["paid", "sent", "lost"][n % 3], n / 5);
            let glob = match n % 5 {
                0 | 1 => format!("shop{shop}.order.{kind}"),
                2 | 3 => format!("shop{shop}.*"),
                _ => format!("shop{shop}.*.{kind}"),
            };
            compiled(SubscriptionOptions {
                id: n as i64,
                types: vec![glob],
                ..SubscriptionOptions::new("shop", "https://example.com/")
            })
        })
        .collect()
}

/// Returns `count` subscriptions to every type, of which at most ten want any event: filters by a customer, a beginning,
/// an amount, a region and an event pattern.
fn by_filter(count: usize) -> Result<Vec<Subscription>> {
    (0..count)
        .map(|n| {
            let group = n / MATCHING;
            let filter = match group % 5 {
                0 => format!(r#"{{"data": {{"status": "paid", "customer": {group}}}}}"#),
                1 => format!(r#"{{"data": {{"status": "paid", "place": "p{group}-*"}}}}"#),
                2 => format!(r#"{{"data": {{"total": {{"between": [{group}, {group}.5]}}}}}}"#),
                3 => format!(
                    r#"{{"data": {{"lat": {{"between": [{0}.1, {0}.2]}}, "lon": {{"between": [{1}, {1}.9]}}}}}}"#,
                    group % 90,
                    group / 90
                ),
                _ => format!(r#"{{"pattern": {{"data": {{"customer": ["c{group}", "d{group}"]}}}}}}"#),
            };
            compiled(SubscriptionOptions {
                id: n as i64,
                types: vec!["*".into()],
                filter: Some(Json(filter)),
                ..SubscriptionOptions::new("shop", "https://example.com/")
            })
        })
        .collect()
}

/// Returns `count` subscriptions to every type with filters in CloudEvents SQL, of which at most ten want any event.
fn by_expression(count: usize) -> Result<Vec<Subscription>> {
    (0..count)
        .map(|n| {
            let group = n / MATCHING;
            let expression =
                format!("type LIKE 'order.%' AND subject = 'c{group}' AND EXISTS source");
            compiled(SubscriptionOptions {
                id: n as i64,
                types: vec!["*".into()],
                filter: Some(Json(format!(r#"{{"sql": "{expression}"}}"#))),
                ..SubscriptionOptions::new("shop", "https://example.com/")
            })
        })
        .collect()
}

/// Returns events with 1 MB of data that is slow to read, or to compare with filters.
fn large_events() -> Vec<Event> {
    let deep = format!("{}1{}", r#"{"customer":["#.repeat(60), "]}".repeat(60));
    let datas = [
        format!(r#"{{"status":"paid","place":"{}"}}"#, "p1-".repeat(340_000)),
        format!(r#"{{"status":"paid","place":"{}"}}"#, r"p".repeat(170_000)),
        format!(
            r#"{{"status":"paid","customer":[{}7]}}"#,
            "7,".repeat(500_000)
        ),
        format!(r#"{{"status":"paid","total":{}}}"#, "7".repeat(1_000_000)),
        format!(r#"{{"list":[{deep}{}]}}"#, format!(",{deep}").repeat(1_000)),
        format!(r#"{{{}"total":1}}"#, r#""status":"paid","#.repeat(58_000)),
    ];
    let event = |data: String| Event {
        size: data.len() as i32,
        data: Some(data),
        ..Event::new("1", "/shop", "order.paid", 0)
    };
    datas.into_iter().map(event).collect()
}

/// Returns an event of 1 kB that one group of these subscriptions wants.
fn filtered_event(count: usize, n: usize) -> Event {
    let group = n % (count / MATCHING).max(1);
    let data = match group % 5 {
        0 => format!(r#""status":"paid","customer":{group}"#),
        1 => format!(r#""status":"paid","place":"p{group}-7""#),
        2 => format!(r#""status":"new","total":{group}.25"#),
        3 => format!(r#""lat":{}.15,"lon":{}.5"#, group % 90, group / 90),
        _ => format!(r#""customer":"d{group}""#),
    };
    let text = "x".repeat(900);
    Event {
        data: Some(format!(
            r#"{{{data},"lines":[{{"sku":"A1","count":2}}],"text":"{text}"}}"#
        )),
        size: 1_000,
        ..Event::new("1", "/shop", "order.paid", 0)
    }
}

/// Returns microseconds per event, and the most matches of an event.
fn match_all(matcher: &Matcher, events: &[Event]) -> (f64, usize) {
    let (mut found, mut most) = (Found::default(), 0);
    let began_at = Instant::now();
    for event in events {
        matcher.find(black_box(event), &mut found);
        most = most.max(found.matching.len());
    }
    let micros = began_at.elapsed().as_secs_f64() * 1e6;
    (micros / events.len() as f64, most)
}

/// Returns the microseconds that it takes to replace a subscription.
fn change_one(matcher: &mut Matcher, subscriptions: &[Subscription]) -> f64 {
    let began_at = Instant::now();
    let changed = subscriptions.iter().enumerate().step_by(7).take(1_000);
    let count = changed.len();
    for (index, subscription) in changed {
        let wanted: &Arc<Wanted> = &subscription.wanted;
        matcher.remove(index, wanted);
        matcher.insert(index, wanted);
    }
    began_at.elapsed().as_secs_f64() * 1e6 / count as f64
}

pub fn against_many(_: &Rig, size: Size) -> Result<Finding> {
    let mut figures = Vec::new();
    let mut figure = |name: String, took: Vec<f64>, most: Option<f64>| {
        let figure = Figure::new(name, "us", took);
        figures.push(match most {
            Some(most) => figure.at_most(most),
            None => figure,
        });
    };
    for count in [10, 1_000, 10_000] {
        let matcher = Matcher::new(&by_type(count)?);
        let event = |n: usize| {
            let shop = n % (count / 5).max(1);
            Event::new("1", "/shop", &format!("shop{shop}.order.paid"), 0)
        };
        let events: Vec<Event> = (0..EVENTS).map(event).collect();
        let rounds: Vec<_> = (0..size.of(3, 9))
            .map(|_| match_all(&matcher, &events))
            .collect();
        let most = rounds.iter().map(|(_, most)| *most).max().unwrap_or(0);
        figure(
            format!("{count} subscriptions by type, of which at most {most} match"),
            rounds.into_iter().map(|(micros, _)| micros).collect(),
            (count == 10_000).then_some(50.0),
        );
    }
    for count in [1, 100, 1_000, 10_000, size.of(20_000, 100_000)] {
        let subscriptions = by_filter(count)?;
        let mut matcher = Matcher::new(&subscriptions);
        let events: Vec<Event> = (0..EVENTS / 4).map(|n| filtered_event(count, n)).collect();
        let rounds: Vec<_> = (0..size.of(3, 9))
            .map(|_| match_all(&matcher, &events))
            .collect();
        let most = rounds.iter().map(|(_, most)| *most).max().unwrap_or(0);
        figure(
            format!("{count} subscriptions by filter, of which at most {most} match"),
            rounds.into_iter().map(|(micros, _)| micros).collect(),
            (count == 10_000).then_some(50.0),
        );
        if count >= 10_000 {
            let changes = (0..3)
                .map(|_| change_one(&mut matcher, &subscriptions))
                .collect();
            figure(
                format!("a change of one of {count} with filters"),
                changes,
                Some(5_000.0),
            );
        }
    }
    let matcher = Matcher::new(&by_expression(10_000)?);
    let event = |n: usize| Event {
        subject: Some(format!("c{}", n % (10_000 / MATCHING))),
        ..Event::new("1", "/shop", "order.paid", 0)
    };
    let events: Vec<Event> = (0..EVENTS / 4).map(event).collect();
    let rounds = (0..size.of(3, 9)).map(|_| match_all(&matcher, &events).0);
    figure(
        "10000 subscriptions by CloudEvents SQL, of which at most 10 match".into(),
        rounds.collect(),
        Some(50.0),
    );
    let matcher = Matcher::new(&by_filter(10_000)?);
    let rounds = large_events();
    let rounds = rounds
        .iter()
        .map(|event| match_all(&matcher, std::slice::from_ref(event)).0);
    figure(
        "the slowest of six events with 1 MB of data, and 10000 subscriptions by filter".into(),
        vec![rounds.fold(0.0, f64::max)],
        Some(100_000.0),
    );
    Ok(Finding::new("Matching one event", figures))
}
