//! A subscription's own certificates: the authority that it trusts, and its identity.

mod common;

use std::sync::LazyLock;

use common::{Database, SECRET, receiver};
use herald_trial::receiver::{Authority, Flaw, Tls};
use herald_trial::{Cluster, Receiver};
use serde_json::{Value, json};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

fn receiver_speaking(tls: Tls) -> Receiver {
    Receiver::builder()
        .secret(SECRET)
        .tls(tls)
        .start()
        .expect("a receiver")
}

fn subscribe(db: &mut Database, receiver: &Receiver, tls: &Value) -> Result<u64, postgres::Error> {
    db.execute(
        "select herald.subscribe('shop', url => $1, secret => $2, tls => $3::text::jsonb, retry_schedule => '{50 ms}', retry_jitter => 0)",
        &[&receiver.url("/"), &SECRET, &tls.to_string()],
    )
}

fn ca_of(authority: &Authority) -> String {
    std::fs::read_to_string(authority.ca_file()).expect("the CA file")
}

#[test]
fn a_receiver_whose_authority_nobody_else_trusts_is_trusted_by_its_subscription() {
    let authority = Authority::new().unwrap();
    let receiver = receiver_speaking(authority.server(Flaw::None).unwrap());
    let mut db = Database::subscribed(&CLUSTER, "own_ca", &receiver, "max_attempts => 1");
    db.emit("order.paid");
    db.until_dead("exhausted");
    assert_eq!(
        db.text("select error from herald.attempt"),
        "TLS: unknown certificate authority"
    );
    subscribe(&mut db, &receiver, &json!({"ca": ca_of(&authority)})).unwrap();
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.accepted(), 1);
    // Flawed certificates of the same authority are refused all the same.
    for flaw in [Flaw::Expired, Flaw::OtherHost, Flaw::SelfSigned] {
        let flawed = receiver_speaking(authority.server(flaw).unwrap());
        subscribe(&mut db, &flawed, &json!({"ca": ca_of(&authority)})).unwrap();
        let event = db.emit("order.paid");
        db.settle();
        let class = format!("select error_class from herald.attempt where event_id = '{event}'");
        assert_eq!(
            (db.text(&class).as_str(), flawed.total()),
            ("tls", 0),
            "{flaw:?}"
        );
    }
}

#[test]
fn a_client_certificate_is_shown_and_can_be_taken_back() {
    let authority = Authority::new().unwrap();
    let receiver = receiver_speaking(authority.server_for_known_clients().unwrap());
    let identity = authority.client_identity().unwrap();
    let mut db = Database::new(&CLUSTER, "client");
    let tls = json!({"ca": ca_of(&authority), "certificate": identity.certificate_pem, "key": identity.key_pem});
    subscribe(&mut db, &receiver, &tls).unwrap();
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.accepted(), 1);
    assert_eq!(
        db.text("select tls from herald.subscription"),
        r#"{"ca": "***", "key": "***", "certificate": "***"}"#
    );
    // It stays, whatever else changes.
    db.run("update herald.subscription set max_concurrency = 2");
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.accepted(), 2);
    db.run("update herald.subscription set tls = null");
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.accepted(), 2);
    assert_eq!(db.count("herald.secret where kind = 'tls'"), 0);
}

#[test]
fn certificates_that_are_of_no_use_are_refused_at_once_and_not_repeated() {
    let authority = Authority::new().unwrap();
    let (identity, other) = (
        authority.client_identity().unwrap(),
        authority.client_identity().unwrap(),
    );
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "refused");
    for tls in [
        json!([]),
        json!({"ca": 1}),
        json!({"cert": "x"}),
        json!({"ca": ""}),
        json!({"ca": "canary"}),
        json!({"ca": "***"}),
        json!({"certificate": identity.certificate_pem}),
        json!({"key": identity.key_pem}),
        json!({"certificate": identity.certificate_pem, "key": other.key_pem}),
        json!({"certificate": "canary", "key": identity.key_pem}),
        json!({"certificate": identity.certificate_pem, "key": "canary"}),
        json!({"ca": "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n"}),
    ] {
        let refused = subscribe(&mut db, &receiver, &tls).expect_err("a refusal");
        let error = refused.as_db_error().expect("the server says no");
        assert_eq!(error.code().code(), "22023", "{tls}");
        let words = format!(
            "{} {:?} {:?}",
            error.message(),
            error.detail(),
            error.hint()
        );
        assert!(error.hint().is_some() || error.detail().is_some(), "{tls}");
        assert!(
            !words.contains("canary") && !words.contains("PRIVATE KEY-----\n"),
            "{words}"
        );
    }
    assert_eq!(db.count("herald_internal.subscription"), 0);
}
