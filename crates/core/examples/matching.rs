//! Measures matching one event against 10,000 subscriptions, of which about ten match, with globs of various shapes:
//! `cargo run --release -p herald-core --example matching`.

use std::time::Instant;

use herald_core::egress::url_policy::UrlPolicy;
use herald_core::event::Event;
use herald_core::subscription::matcher::{Found, Matcher};
use herald_core::subscription::{Subscription, SubscriptionOptions};

const ROUNDS: u32 = 10_000;

fn main() {
    let shapes = [
        "shop.order{}.paid",
        "shop.order{}.*",
        "*.order{}.paid",
        "shop.*.order{}.paid",
        "order{}*paid",
    ];
    let subscriptions: Vec<Subscription> = (0..10_000)
        .map(|number| match number % 1_000 {
            1 => subscription("shop.order5.*", None),
            _ => {
                let glob = shapes[number % shapes.len()].replace("{}", &number.to_string());
                let tenant = (number % 7 == 0).then(|| format!("tenant{number}"));
                subscription(&glob, tenant)
            }
        })
        .collect();
    let matcher = Matcher::new(&subscriptions);
    let event = Event {
        tenant: Some("tenant7".into()),
        ..Event::new("1", "/shop", "shop.order5.paid", 0)
    };
    let mut found = Found::default();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        matcher.find(&event, &mut found);
    }
    println!(
        "{} of 10000 match, {:?} for one event",
        found.matching.len(),
        start.elapsed() / ROUNDS
    );
}

fn subscription(glob: &str, tenant: Option<String>) -> Subscription {
    let options = SubscriptionOptions {
        types: vec![glob.into()],
        tenant,
        ..SubscriptionOptions::new("any", "https://example.com/")
    };
    options
        .compile(&UrlPolicy::default())
        .expect("the options are valid")
}
