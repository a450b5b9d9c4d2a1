//! The limits of each option, and what the options become.

use proptest::prelude::*;

use super::*;
use crate::signature::Secret;

fn options() -> SubscriptionOptions {
    SubscriptionOptions::new("shop", "https://example.com/hook")
}

fn is_valid(options: SubscriptionOptions) -> bool {
    options.validate(&UrlPolicy::default()).is_ok()
}

#[test]
fn each_limit_includes_its_ends_and_nothing_beyond() {
    let limits = [
        (&TIMEOUT, 100_000, 300_000_000),
        (&MAX_CONCURRENCY, 1, 1000),
        (&MAX_PAYLOAD, 1, 16_777_216),
        (&MAX_AGE, 1, 315_576_000_000_000),
        (&MAX_BACKLOG, 1, 100_000_000),
    ];
    for (limit, least, most) in limits {
        for (value, expected) in [
            (i64::MIN, false),
            (least - 1, false),
            (least, true),
            (most, true),
        ] {
            assert_eq!(
                limit.check(value).is_ok(),
                expected,
                "{} {value}",
                limit.option
            );
        }
        if let Some(beyond) = most.checked_add(1) {
            assert!(limit.check(beyond).is_err(), "{}", limit.option);
        }
    }
}

#[test]
fn every_option_is_checked() {
    let faulty = [
        SubscriptionOptions {
            name: "".into(),
            ..options()
        },
        SubscriptionOptions {
            url: "http://example.com/".into(),
            ..options()
        },
        SubscriptionOptions {
            types: vec![],
            ..options()
        },
        SubscriptionOptions {
            headers: vec![("host".into(), "x".into())],
            ..options()
        },
        SubscriptionOptions {
            secrets: vec!["whsec_".into()],
            ..options()
        },
        SubscriptionOptions {
            timeout_micros: 0,
            ..options()
        },
        SubscriptionOptions {
            retry_schedule_micros: vec![],
            ..options()
        },
        SubscriptionOptions {
            retry_jitter: 2.0,
            ..options()
        },
        SubscriptionOptions {
            max_attempts: Some(0),
            ..options()
        },
        SubscriptionOptions {
            max_concurrency: 0,
            ..options()
        },
        SubscriptionOptions {
            max_payload: 0,
            ..options()
        },
        SubscriptionOptions {
            max_age_micros: Some(0),
            ..options()
        },
        SubscriptionOptions {
            retry_jitter: f64::NAN,
            ..options()
        },
        SubscriptionOptions {
            retry_duration_micros: Some(315_576_000_000_001),
            ..options()
        },
        SubscriptionOptions {
            success: Some(vec![200; 401]),
            ..options()
        },
        SubscriptionOptions {
            retry_on: Some(vec![500; 401]),
            ..options()
        },
        SubscriptionOptions {
            tenant: Some("x".repeat(MAX_TENANT_BYTES + 1)),
            ..options()
        },
    ];
    for (position, options) in faulty.into_iter().enumerate() {
        assert!(!is_valid(options), "{position}");
    }
    assert!(is_valid(options()));
    assert!(is_valid(SubscriptionOptions {
        retry_duration_micros: Some(315_576_000_000_000),
        success: Some(vec![200; 400]),
        retry_on: Some(vec![500; 400]),
        tenant: Some("x".repeat(MAX_TENANT_BYTES)),
        ..options()
    }));
}

#[test]
fn what_cannot_be_compiled_is_still_matched() {
    let broken = SubscriptionOptions {
        id: 7,
        tenant: Some("acme".into()),
        types: vec!["order.*".into()],
        url: "nowhere".into(),
        state: State::Sandbox,
        retry_schedule_micros: vec![],
        ..options()
    };
    let held = broken.held();
    assert_eq!((held.id, held.tenant.as_deref()), (7, Some("acme")));
    assert_eq!(held.state, State::Sandbox);
    assert!(held.types.matches("order.paid") && !held.types.matches("invoice.paid"));
    assert!(held.signing.is_without_secret());
    for types in [
        vec![],
        vec![String::new()],
        vec!["order.*".into(), "a b".into()],
    ] {
        let held = SubscriptionOptions { types, ..options() }.held();
        assert!(held.types.matches("invoice.paid"));
    }
}

#[test]
fn names_need_no_quoting() {
    let longest = "a".repeat(63);
    for name in ["a", "shop/eu-1", "Shop_2.orders", longest.as_str()] {
        assert!(
            is_valid(SubscriptionOptions {
                name: name.into(),
                ..options()
            }),
            "{name}"
        );
    }
    let too_long = "a".repeat(64);
    for name in ["", "a b", "a'b", "ä", "a\n", too_long.as_str()] {
        assert!(
            !is_valid(SubscriptionOptions {
                name: name.into(),
                ..options()
            }),
            "{name}"
        );
    }
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let subscription = options().compile(&UrlPolicy::default()).unwrap();
    assert_eq!(subscription.timeout, Duration::from_secs(30));
    assert_eq!(subscription.retry, RetryPolicy::default());
    assert_eq!(subscription.max_payload, 256 * 1024);
    assert!(subscription.types.matches("anything"));
    assert!(subscription.signing.is_without_secret());
}

#[test]
fn debug_shows_neither_the_secret_nor_the_url() {
    let secret = Secret::from_bytes(&[7; 24]).unwrap().to_text();
    let options = SubscriptionOptions {
        secrets: vec![secret.clone()],
        ..options()
    };
    let shown = format!(
        "{options:?} {:?}",
        options.compile(&UrlPolicy::default()).unwrap()
    );
    assert!(
        !shown.contains(&secret) && !shown.contains("hook"),
        "{shown}"
    );
}

proptest! {
    /// The url is checked by one parser and dialled by another, which must not see another host in it.
    #[test]
    fn the_dialled_host_is_the_checked_one(text in "https://[a-zA-Z0-9.:@%?#/\\[\\]_~!$&'()*+,;=^`{|}ä-]{1,30}") {
        let policy = UrlPolicy::parse(false, "0.0.0.0/0", "").unwrap();
        if let Ok(url) = policy.check_url(&text) {
            let target = Target::parse(&text, &policy).unwrap();
            let uri = target.origin();
            prop_assert_eq!(uri.host(), url.host_str());
            prop_assert_eq!(uri.port_u16(), url.port());
            prop_assert_eq!(uri.authority().unwrap().as_str().contains('@'), false);
        }
    }
}
