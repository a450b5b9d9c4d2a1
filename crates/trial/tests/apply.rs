//! Subscriptions declared as a document, and sandboxes.

mod common;

use std::sync::LazyLock;

use common::{Database, SOON, hint, rows, subscribed};
use herald_trial::Cluster;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Returns what a document does, as `name action changes`.
fn applied(db: &mut Database, document: &str, dry_run: bool) -> Vec<String> {
    db.texts(&format!(
        "select format('%s %s %s', subscription, action, changes) from herald.apply($${document}$$, dry_run => {dry_run})"
    ))
}

const SHOP: &str = r#"{"name": "shop", "url": "http://127.0.0.1:1/", "types": ["order.*"], "timeout": "5 s",
    "retry_schedule": ["1 s", "5 s"], "headers": {"X-Shop": "eu"}, "auth": {"type": "bearer", "token": "canary"}, "signing": "standard"}"#;

#[test]
fn applying_a_document_is_idempotent() {
    let mut db = Database::new(&CLUSTER, "apply");
    let document = format!(
        r#"{{"subscriptions": [{SHOP}, {{"name": "billing", "url": "http://127.0.0.1:1/"}}]}}"#
    );
    assert_eq!(
        applied(&mut db, &document, true),
        ["shop created ", "billing created "]
    );
    assert_eq!(db.count("herald.subscription"), 0);
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
    assert_eq!(db.count("herald.secret where kind = 'auth'"), 0);
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
    // The audit says the same of both.
    let grown = |before: &(Vec<String>, usize, String), after: &(Vec<String>, usize, String)| {
        after.2.parse::<i64>().unwrap() - before.2.parse::<i64>().unwrap()
    };
    assert_eq!(grown(&right, &wrong), grown(&wrong, &again));
    assert_eq!(
        db.text("select value from herald.secret where kind = 'auth'"),
        "finch"
    );
}

#[test]
fn classes_of_statuses_are_taken_as_they_are() {
    let mut db = Database::new(&CLUSTER, "apply_statuses");
    let document = r#"{"subscriptions": [{"name": "shop", "url": "http://127.0.0.1:1/", "retry_on": ["5xx", 408, "429"], "success": "2xx"}]}"#;
    assert_eq!(applied(&mut db, document, false), ["shop created "]);
    assert_eq!(applied(&mut db, document, false), ["shop unchanged "]);
    db.run("select herald.subscribe('same', url => 'http://127.0.0.1:1/', success => herald.statuses('2xx'),
                                    retry_on => herald.statuses('429', '5xx', '408', '503'))");
    assert_eq!(
        db.text("select format('%s %s %s %s', count(distinct (success, retry_on)), min(cardinality(retry_on)),
                               (min(retry_on))[1:3], min(cardinality(success))) from herald.subscription"),
        "1 102 {408,429,500} 100"
    );
    for call in [
        "'6xx'",
        "'5x'",
        "'404 '",
        "null",
        "'600'",
        "'5xx', '99'",
        "variadic '{}'",
    ] {
        let refused = db.refusal(&format!("select herald.statuses({call})"));
        assert_eq!(refused.code().code(), "22023", "{call}");
    }
}

#[test]
fn a_secret_in_a_document_signs_first_and_its_former_presence_stays_hidden() {
    let mut db = Database::new(&CLUSTER, "apply_secret");
    let with = |secret: &str| {
        let billing = r#"{"name": "billing", "url": "http://127.0.0.1:1/""#;
        format!(r#"{{"subscriptions": [{billing}, "secret": "{secret}"}}]}}"#)
    };
    let secret = |n: u8| format!("whsec_{}", String::from(char::from(b'A' + n)).repeat(32));
    let stored = "select string_agg(right(value, 1) || case when expires_at is null then '' else '-' end, ' '
                  order by expires_at desc nulls first) from herald.secret";
    let audit = "select string_agg(format('%s %s', action, after - 'expires_at'), ' ' order by id) from herald.audit
                 where id > $1";
    let mut declare = |number: u8| {
        let last: i64 = db.number("select coalesce(max(id), 0) from herald.audit");
        let said = applied(&mut db, &with(&secret(number)), false);
        let written: Option<String> = db.row(audit, &[&last]).get(0);
        (said, db.text(stored), written)
    };
    declare(0);
    let (said, rows, same) = declare(0);
    assert_eq!(
        (said, rows),
        (vec!["billing unchanged ".into()], "A".into())
    );
    let (said, rows, other) = declare(1);
    assert_eq!(
        (said, rows),
        (vec!["billing unchanged ".into()], "B A-".into())
    );
    assert_eq!(same, other);
    assert_eq!(declare(0).1, "A B-");
    // At most ten sign, and no document fails for that.
    let last = (1..13).fold(String::new(), |_, n| declare(n).1);
    assert_eq!(last, "M L- K- J- I- H- G- F- E- D-");
    assert_eq!(
        applied(&mut db, &with(&secret(0)), true),
        [r#"billing unchanged {"secret": "not compared"}"#]
    );
    let refused = db.refusal(&format!("select herald.apply('{}')", with("short")));
    assert_eq!(refused.code().code(), "22023");
}

#[test]
fn a_document_with_a_slip_does_nothing_and_names_it() {
    let mut db = Database::new(&CLUSTER, "apply_faults");
    let refused = r#"
        [] | the document declares no subscriptions
        {"subscriptions": [], "purne": true} | the document has an unknown member "purne"
        {"subscriptions": [{"url": "http://127.0.0.1:1/"}]} | a subscription is declared without a name
        {"subscriptions": [{"name": "good", "url": "http://127.0.0.1:1/"}, {"name": "bad", "ulr": "http://127.0.0.1:1/"}]} | subscription "bad": unknown option "ulr"
        {"subscriptions": [{"name": "good", "url": "http://127.0.0.1:1/"}, {"name": "good", "url": "http://127.0.0.1:1/"}]} | subscription "good" is declared twice
        {"subscriptions": [{"name": "bad", "url": "http://127.0.0.1:1/", "method": "GET"}]} | subscription "bad": invalid method
        {"subscriptions": [{"name": "bad", "url": "http://127.0.0.1:1/", "state": "disabled"}]} | subscription "bad": state cannot be declared "disabled"
        {"subscriptions": [{"name": "bad", "url": "http://127.0.0.1:1/", "timeout": "5 parsecs"}]} | subscription "bad": invalid timeout: invalid input syntax for type interval: "5 parsecs"
        {"subscriptions": [{"name": "bad", "url": "http://127.0.0.1:1/", "max_payload": "many"}]} | subscription "bad": invalid max_payload: invalid input syntax for type integer: "many"
        {"subscriptions": [{"name": "bad", "url": "http://127.0.0.1:1/", "retry_on": ["6xx"]}]} | subscription "bad": invalid retry_on: statuses has "6xx", which is no status
    "#;
    for [document, message] in rows(refused) {
        let error = db.refusal(&format!("select herald.apply($${document}$$)"));
        assert_eq!(error.message(), message);
        assert!(error.hint().is_some(), "{document}");
    }
    assert_eq!(db.count("herald.subscription"), 0);
    let slip = r#"{"subscriptions": [{"name": "bad", "ulr": "http://127.0.0.1:1/"}]}"#;
    assert_eq!(
        hint(&db.refusal(&format!("select herald.apply($${slip}$$)"))),
        "Perhaps you meant \"url\"."
    );
}

#[test]
fn a_sandbox_is_matched_signed_and_recorded_and_sends_nothing() {
    let (receiver, mut db) = subscribed(&CLUSTER, "sandbox", "");
    db.run("update herald.subscription set state = 'sandbox'");
    db.emit("order.paid");
    db.settle();
    assert_eq!(
        db.text("select format('%s %s %s', outcome, coalesce(status_code::text, '-'), response like 'sandbox: a request of % bytes was made and not sent') from herald.attempt"),
        "delivered - t"
    );
    // Another user may resume everything that is paused: this stays a sandbox.
    for call in ["resume('shop')", "pause('shop')", "resume('shop')"] {
        db.run(&format!("select herald.{call}"));
    }
    assert_eq!(db.text("select state from herald.subscription"), "sandbox");
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.total(), 0);
    db.run("update herald.subscription set state = 'active'");
    db.emit("order.paid");
    receiver.wait_for(1, SOON);
    assert_eq!(receiver.total(), 1);
}
