//! Tests the limits of each option, and how options compile.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::attempt::retry::RetryPolicy;
use crate::egress::url_policy::UrlPolicy;
use crate::limits::TENANT;
use crate::request::target::Target;
use crate::signing::Secret;
use crate::subscription::documents::{defaults, merged};
use crate::subscription::reference::{reference, signature};

fn options() -> SubscriptionOptions {
    SubscriptionOptions::new("shop", "https://example.com/hook")
}

fn changed(change: impl FnOnce(&mut SubscriptionOptions)) -> SubscriptionOptions {
    let mut options = options();
    change(&mut options);
    options
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
        (&DEAD_LETTER_RETENTION, 1_000_000, 315_576_000_000_000),
    ];
    for (limit, least, most) in limits {
        for value in [least, most] {
            assert!(limit.check(value).is_ok(), "{} {value}", limit.option);
        }
        for value in [i64::MIN, least - 1] {
            assert!(limit.check(value).is_err(), "{} {value}", limit.option);
        }
        if let Some(beyond) = most.checked_add(1) {
            assert!(limit.check(beyond).is_err(), "{}", limit.option);
        }
    }
}

#[test]
fn every_option_is_checked() {
    let faults: [fn(&mut SubscriptionOptions); 22] = [
        |options| options.name = "".into(),
        |options| options.url = "http://example.com/".into(),
        |options| options.types = vec![],
        |options| options.headers = Some([("host".into(), "x".into())].into()),
        |options| options.signing_secrets = vec!["whsec_".into()],
        |options| options.timeout = Span(0),
        |options| options.retry_schedule = vec![],
        |options| options.retry_jitter = 2.0,
        |options| options.max_attempts = Some(0),
        |options| options.max_concurrency = 0,
        |options| options.max_payload = 0,
        |options| options.max_age = Some(Span(0)),
        |options| options.retry_jitter = f64::NAN,
        |options| options.retry_duration = Some(Span(315_576_000_000_001)),
        |options| options.success = Some(vec![200; 401]),
        |options| options.retry_on = Some(vec![500; 401]),
        |options| options.tenant = Some("x".repeat(TENANT.bytes + 1)),
        |options| options.tenant = Some(String::new()),
        |options| options.tenant = Some("acme ".into()),
        |options| options.gone = "ignore".into(),
        |options| options.dead_letter_retention = Span(0),
        |options| options.description = Some("ü".repeat(1_001)),
    ];
    for (position, fault) in faults.into_iter().enumerate() {
        assert!(!is_valid(changed(fault)), "{position}");
    }
    assert!(is_valid(options()));
    assert!(is_valid(SubscriptionOptions {
        retry_duration: Some(Span(315_576_000_000_000)),
        success: Some(vec![200; 400]),
        retry_on: Some(vec![500; 400]),
        tenant: Some("x".repeat(TENANT.bytes)),
        ..options()
    }));
}

#[test]
fn an_invalid_subscription_still_matches() {
    let broken = SubscriptionOptions {
        id: 7,
        tenant: Some("acme".into()),
        types: vec!["order.*".into()],
        url: "nowhere".into(),
        state: State::Sandbox,
        retry_schedule: vec![],
        ..options()
    };
    let held = broken.held();
    assert_eq!((held.id, held.wanted.tenant.as_deref()), (7, Some("acme")));
    assert_eq!(held.state, State::Sandbox);
    assert!(held.wanted.types.matches("order.paid") && !held.wanted.types.matches("invoice.paid"));
    assert!(held.signing.is_without_secret());
    for types in [
        vec![],
        vec![String::new()],
        vec!["order.*".into(), "a\nb".into()],
    ] {
        let held = SubscriptionOptions { types, ..options() }.held();
        assert!(held.wanted.types.matches("invoice.paid"));
    }
}

#[test]
fn names_need_no_quoting() {
    let longest = "a".repeat(63);
    for name in ["a", "shop/eu-1", "Shop_2.orders", longest.as_str()] {
        let named = changed(|options| options.name = name.into());
        assert!(is_valid(named), "{name}");
    }
    let too_long = "a".repeat(64);
    for name in ["", "a b", "a'b", "ä", "a\n", "21", too_long.as_str()] {
        let named = changed(|options| options.name = name.into());
        assert!(!is_valid(named), "{name}");
    }
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let subscription = options().compile(&UrlPolicy::default()).unwrap();
    assert_eq!(subscription.timeout, Duration::from_secs(30));
    assert_eq!(subscription.retry, RetryPolicy::default());
    assert_eq!(subscription.max_payload, 256 * 1024);
    assert!(subscription.wanted.types.matches("anything"));
    assert!(subscription.signing.is_without_secret());
}

/// Compares the reference with the declarations that it is generated from. `HERALD_WRITE=1` writes it.
#[test]
fn the_reference_says_what_is_declared() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sql-reference.md");
    let mut page = std::fs::read_to_string(path).unwrap();
    for (begin, declared) in [
        ("<!-- signature of subscribe -->\n", signature()),
        ("<!-- arguments of subscribe -->\n", reference()),
    ] {
        let (before, rest) = page.split_once(begin).unwrap();
        let (stands, after) = rest.split_once("<!-- end -->\n").unwrap();
        if std::env::var_os("HERALD_WRITE").is_none() {
            assert_eq!(stands, declared, "HERALD_WRITE=1 writes it");
        }
        page = format!("{before}{begin}{declared}<!-- end -->\n{after}");
    }
    std::fs::write(path, page).unwrap();
}

#[test]
fn a_document_is_read_as_it_was_declared_and_nothing_else_is() {
    let read = |json: &str| options().with_document(json);
    let options = read(
        r#"{"types": ["a.*"], "timeout": "00:00:05", "retry_schedule": ["00:00:01", "1 day"], "success": [200],
            "max_age": null, "auth": {"type": "bearer", "token": "t"}, "shrink": true, "retry_jitter": 0.25}"#,
    )
    .unwrap();
    assert_eq!(
        (options.types, options.timeout),
        (vec!["a.*".to_owned()], Span(5_000_000))
    );
    assert_eq!(
        options.retry_schedule,
        [Span(1_000_000), Span(86_400_000_000)]
    );
    assert_eq!((options.success, options.max_age), (Some(vec![200]), None));
    assert_eq!((options.shrink, options.retry_jitter), (true, 0.25));
    assert_eq!(options.auth.unwrap()["token"], "t");
    for (json, message) in [
        ("[]", "invalid subscription"),
        (r#"{"timeuot": "1 s"}"#, "unknown option \"timeuot\""),
        (r#"{"timeout": 5}"#, "invalid timeout"),
        (r#"{"timeout": null}"#, "invalid timeout"),
        (
            r#"{"max_concurrency": 3000000000}"#,
            "invalid max_concurrency",
        ),
        (r#"{"shrink": "yes"}"#, "invalid shrink"),
        (
            r#"{"retry_schedule": ["1 s", null]}"#,
            "a member of retry_schedule is null",
        ),
        (
            r#"{"retry_schedule": [["1 s"]]}"#,
            "retry_schedule has more than one dimension",
        ),
        (
            r#"{"headers": {"a": 1}}"#,
            "headers is not an object of strings",
        ),
        (r#"{"headers": []}"#, "headers is not an object of strings"),
    ] {
        assert_eq!(read(json).unwrap_err().message(), message, "{json}");
    }
    assert_eq!(
        read(r#"{"timeuot": "1 s"}"#).unwrap_err().hint().unwrap(),
        "Perhaps you meant \"timeout\"."
    );
}

#[test]
fn given_options_are_merged_and_nulls_removed() {
    let put = |former: &str, given: &str| {
        let merged = merged(document(former).unwrap(), document(given).unwrap())?;
        Ok::<_, Error>(serde_json::to_string(&merged).unwrap())
    };
    let former = r#"{"timeout": "00:00:30", "max_age": "1 day", "headers": {"a": "***"}}"#;
    for given in [
        r#"{"headers": {}, "max_age": null}"#,
        r#"{"headers": null, "max_age": null}"#,
    ] {
        assert_eq!(put(former, given).unwrap(), r#"{"timeout":"00:00:30"}"#);
    }
    assert_eq!(
        put(former, r#"{"timeout": null}"#).unwrap_err().message(),
        "timeout of a subscription is null"
    );
    assert!(put(former, r#"{"colour": "red"}"#).is_err());
    // An empty list is kept, so that checking refuses it.
    assert_eq!(put("{}", r#"{"types":[]}"#).unwrap(), r#"{"types":[]}"#);
}

#[test]
fn declared_defaults_take_effect() {
    let mut defaults = defaults();
    for option in OPTIONS {
        let (name, has_none) = (option.name, option.is_optional || option.name == "url");
        assert_eq!(defaults[name].get() == "null", has_none, "{name}");
    }
    defaults.remove("url");
    let read = options().with_document(&serde_json::to_string(&defaults).unwrap());
    assert!(read.unwrap() == options());
}

#[test]
fn secrets_are_known_by_their_names() {
    let is_secret = |option: &str, member: &str| {
        let declared = OPTIONS.iter().find(|declared| declared.name == option);
        declared
            .unwrap()
            .secret
            .is_some_and(|is_secret| is_secret(member))
    };
    for (option, member) in [
        ("headers", "x"),
        ("tls", "ca"),
        ("auth", "token"),
        ("auth", "client_secret"),
    ] {
        assert!(is_secret(option, member), "{option}.{member}");
    }
    assert!(!is_secret("auth", "type") && !is_secret("signing", "key"));
}

#[test]
fn debug_shows_neither_the_secret_nor_the_url() {
    let secret = Secret::from_bytes(&[7; 24]).unwrap().to_text();
    let options = changed(|options| options.signing_secrets = vec![secret.clone()]);
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
    /// One parser checks the url and another dials it: they must see the same host.
    #[test]
    fn the_dialled_host_is_the_checked_one(text in "https://[a-zA-Z0-9.:@%?#/\\[\\]_~!$&'()*+,;=^`{|}ä-]{1,30}") {
        let policy = UrlPolicy::parse(false, "0.0.0.0/0", "").unwrap();
        // `Target` also refuses a placeholder that no event fills in.
        if let (Ok(url), Ok(target)) = (policy.check_url(&text), Target::parse(&text, &policy)) {
            let uri = target.origin();
            prop_assert_eq!(uri.host(), url.host_str());
            prop_assert_eq!(uri.port_u16(), url.port());
            prop_assert_eq!(uri.authority().unwrap().as_str().contains('@'), false);
        }
    }
}
