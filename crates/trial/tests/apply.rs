//! Subscriptions as a declared document, and sandboxes.

mod common;

use std::sync::LazyLock;

use common::{Database, SOON, hint, receiver};
use herald_trial::Cluster;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// What a document does, as `name action changes`.
fn applied(db: &mut Database, document: &str, dry_run: bool) -> Vec<String> {
    db.texts(&format!(
        "select format('%s %s %s', subscription, action, changes) from herald.apply($${document}$$, dry_run => {dry_run})"
    ))
}

const SHOP: &str = r#"{"name": "shop", "url": "http://127.0.0.1:1/", "types": ["order.*"], "timeout": "5 s",
    "retry_schedule": ["1 s", "5 s"], "headers": {"X-Shop": "eu"}, "auth": {"type": "bearer", "token": "canary"}, "signing": "standard"}"#;

#[test]
fn a_document_makes_the_subscriptions_what_it_declares_and_a_second_time_changes_nothing() {
    let mut db = Database::new(&CLUSTER, "apply");
    let document = format!(
        r#"{{"subscriptions": [{SHOP}, {{"name": "billing", "url": "http://127.0.0.1:1/"}}]}}"#
    );
    assert_eq!(
        applied(&mut db, &document, true),
        ["shop created ", "billing created "]
    );
    assert_eq!(db.number("select count(*) from herald.subscription"), 0);
    assert_eq!(
        db.text(&format!("select count(secret) filter (where secret like 'whsec_%') from herald.apply($${document}$$)")),
        "2"
    );
    assert_eq!(
        applied(&mut db, &document, false),
        ["shop unchanged ", "billing unchanged "]
    );
    assert_eq!(
        db.text("select format('%s %s %s %s', types, timeout, retry_schedule, headers) from herald.subscription where name = 'shop'"),
        r#"{order.*} 00:00:05 {00:00:01,00:00:05} {"X-Shop": "***"}"#
    );
}

#[test]
fn what_a_document_leaves_out_gets_its_default_or_is_ended() {
    let mut db = Database::new(&CLUSTER, "apply_changes");
    applied(&mut db, &format!(r#"{{"subscriptions": [{SHOP}]}}"#), false);
    db.run("select herald.subscribe('other', url => 'http://127.0.0.1:1/'); select herald.pause('shop')");
    let secret =
        "select value from herald.secret where kind = 'signing' order by subscription_id limit 1";
    let before = db.text(secret);
    let document = r#"{"subscriptions": [{"name": "shop", "url": "http://127.0.0.1:1/", "types": ["order.*"], "timeout": "00:00:05",
        "headers": {"X-Shop": "us"}, "state": "sandbox"}], "prune": true}"#;
    let expected = [
        concat!(
            r#"shop changed {"auth": "***", "state": "sandbox", "headers": "not compared", "#,
            r#""retry_schedule": ["00:00:05", "00:05:00", "00:30:00", "02:00:00", "05:00:00", "10:00:00", "14:00:00", "20:00:00", "24:00:00"]}"#
        ),
        "other removed ",
    ];
    let headers =
        |words| expected.map(|line| line.replace(r#""headers": "not compared", "#, words));
    assert_eq!(applied(&mut db, document, true), expected);
    assert_eq!(applied(&mut db, document, false), headers(""));
    assert_eq!(
        db.text("select name || ' ' || state from herald.subscription"),
        "shop sandbox"
    );
    assert_eq!(db.text(secret), before);
    assert_eq!(
        db.number("select count(*) from herald.secret where kind = 'auth'"),
        0
    );
}

#[test]
fn a_document_is_no_oracle_for_values_that_are_not_shown() {
    let mut db = Database::new(&CLUSTER, "apply_oracle");
    applied(&mut db, &format!(r#"{{"subscriptions": [{SHOP}]}}"#), false);
    db.run("create role apply_oracle_admin login; select herald.grant_access('apply_oracle_admin', 'admin')");
    let mut admin = db.session_as(&CLUSTER, "apply_oracle_admin");
    let mut guess = |value: &str, dry_run| {
        let document = format!(
            r#"{{"subscriptions": [{}]}}"#,
            SHOP.replace("canary", value)
        );
        let said = applied(&mut admin, &document, dry_run);
        let audit = "select string_agg(format('%s %s %s %s', action, kind, before, after), chr(10) order by id)
                     from herald.audit where at > now() - interval '1 minute'";
        let count = admin.text("select count(*) from herald.audit");
        (said, admin.text(audit).len(), count)
    };
    let told = r#"shop unchanged {"auth": "not compared", "headers": "not compared"}"#;
    assert_eq!(guess("canary", true).0, [told]);
    assert_eq!(guess("finch", true).0, [told]);
    let right = guess("canary", false);
    let wrong = guess("finch", false);
    assert_eq!(
        (&right.0, &wrong.0),
        (&vec!["shop unchanged ".to_owned()], &right.0)
    );
    let again = guess("finch", false);
    // What the audit says of the one it says of the other.
    let grown = |one: &(Vec<String>, usize, String), other: &(Vec<String>, usize, String)| {
        other.2.parse::<i64>().unwrap() - one.2.parse::<i64>().unwrap()
    };
    assert_eq!(grown(&right, &wrong), grown(&wrong, &again));
    assert_eq!(
        db.text("select value from herald.secret where kind = 'auth'"),
        "finch"
    );
}

#[test]
fn a_document_with_a_slip_does_nothing_and_names_it() {
    let mut db = Database::new(&CLUSTER, "apply_faults");
    for (document, message) in [
        ("[]", "the document declares no subscriptions"),
        (
            r#"{"subscriptions": [], "purne": true}"#,
            "the document has an unknown member \"purne\"",
        ),
        (
            r#"{"subscriptions": [{"url": "http://127.0.0.1:1/"}]}"#,
            "a subscription is declared without a name",
        ),
        (
            r#"{"subscriptions": [{"name": "good", "url": "http://127.0.0.1:1/"}, {"name": "bad", "ulr": "http://127.0.0.1:1/"}]}"#,
            "subscription \"bad\" is declared with an unknown option \"ulr\"",
        ),
        (
            r#"{"subscriptions": [{"name": "good", "url": "http://127.0.0.1:1/"}, {"name": "good", "url": "http://127.0.0.1:1/"}]}"#,
            "subscription \"good\" is declared twice",
        ),
        (
            r#"{"subscriptions": [{"name": "bad", "url": "http://127.0.0.1:1/", "method": "GET"}]}"#,
            "invalid method",
        ),
        (
            r#"{"subscriptions": [{"name": "bad", "url": "http://127.0.0.1:1/", "state": "disabled"}]}"#,
            "subscription \"bad\" cannot be declared \"disabled\"",
        ),
    ] {
        let error = db.refusal(&format!("select herald.apply($${document}$$)"));
        assert_eq!(error.message(), message);
        assert!(error.hint().is_some(), "{document}");
    }
    assert_eq!(db.number("select count(*) from herald.subscription"), 0);
    let slip = r#"{"subscriptions": [{"name": "bad", "ulr": "http://127.0.0.1:1/"}]}"#;
    assert_eq!(
        hint(&db.refusal(&format!("select herald.apply($${slip}$$)"))),
        "Perhaps you meant \"url\"."
    );
}

#[test]
fn a_sandbox_is_matched_signed_and_recorded_and_sends_nothing() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "sandbox");
    db.subscribe("shop", &receiver.url("/"), "");
    db.run("update herald.subscription set state = 'sandbox'");
    db.emit("order.paid");
    db.settle();
    assert_eq!(
        db.text("select format('%s %s %s', outcome, coalesce(status_code::text, '-'), response like 'sandbox: a request of % bytes was made and not sent') from herald.attempt"),
        "delivered - t"
    );
    db.run("select herald.resume('shop')");
    db.emit("order.paid");
    receiver.wait_for(1, SOON);
    assert_eq!(receiver.total(), 1);
}
