//! What arrives on the wire in each format and style, and which options are refused.

mod common;

use std::sync::{Arc, LazyLock};

use common::{Database, SOON, hint, only_request, receiver, receiver_with, subscribed};
use herald_trial::receiver::{Answer, Request, Signature};
use herald_trial::{Cluster, Mode, Receiver};
use postgres::error::SqlState;
use serde_json::json;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// The event of every test here.
const EMIT: &str = r#"select herald.emit('order.paid', '{"id": 7, "total": 12.50}', id => 'o-1', subject => 'order/7',
    tenant => 'müller', key => 'k', occurred_at => '2026-01-02 03:04:05.678+00', extensions => '{"region": "eu west"}')"#;

/// Returns the request that a subscription with these options makes of it, which preview() must have shown before.
fn sent(db: &mut Database, name: &str, path: &str, options: &str) -> Arc<Request> {
    let receiver = Receiver::builder().start().expect("a receiver starts");
    db.subscribe_at(name, &receiver.url(path), options);
    db.run(&format!("select herald.pause('{name}')"));
    let uid = db.text(EMIT);
    let preview = format!("from herald.preview('{name}', '{uid}')");
    let shown = db.row(
        &format!("select method, url, body, headers::text {preview}"),
        &[],
    );
    db.run(&format!("select herald.resume('{name}')"));
    receiver.wait_for(1, SOON);
    let request = only_request(&receiver);
    assert_eq!(shown.get::<_, String>(0), request.method);
    assert_eq!(shown.get::<_, String>(1), receiver.url(&request.path));
    if request.header("content-encoding").is_none() {
        assert_eq!(shown.get::<_, String>(2), request.text());
    }
    let headers: serde_json::Value = serde_json::from_str(&shown.get::<_, String>(3)).unwrap();
    for (name, value) in headers.as_object().unwrap() {
        if !name.contains("time") && !name.contains("signature") {
            assert_eq!(request.header(name), value.as_str(), "{name}");
        }
    }
    db.run(&format!("select herald.unsubscribe('{name}')"));
    db.run("delete from herald_internal.emitted");
    request
}

#[test]
fn each_format_arrives_as_preview_shows_it() {
    let mut db = Database::new(&CLUSTER, "formats");
    let structured = r#""specversion":"1.0","id":"o-1","source":"/formats","type":"order.paid","subject":"order/7","time":"2026-01-02T03:04:05.678Z","datacontenttype":"application/json","partitionkey":"k","region":"eu west","data":{"id":7,"total":12.50}"#;
    let request = sent(&mut db, "structured", "/", "");
    assert_eq!(request.text(), format!("{{{structured}}}"));
    assert_eq!(
        request.header("content-type"),
        Some("application/cloudevents+json; charset=utf-8")
    );

    let request = sent(&mut db, "batched", "/", "format => 'batched'");
    assert_eq!(request.text(), format!("[{{{structured}}}]"));
    assert_eq!(
        request.header("content-type"),
        Some("application/cloudevents-batch+json; charset=utf-8")
    );

    let request = sent(&mut db, "binary", "/", "format => 'binary'");
    assert_eq!(request.text(), r#"{"id":7,"total":12.50}"#);
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "o-1"),
        ("ce-source", "/formats"),
        ("ce-type", "order.paid"),
        ("ce-subject", "order/7"),
        ("ce-time", "2026-01-02T03:04:05.678Z"),
        ("ce-partitionkey", "k"),
        ("ce-region", "eu%20west"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.header("ce-datacontenttype"), None);

    let request = sent(&mut db, "envelope", "/", "format => 'envelope'");
    assert_eq!(
        request.text(),
        r#"{"type":"order.paid","timestamp":"2026-01-02T03:04:05.678Z","data":{"id":7,"total":12.50}}"#
    );
    let request = sent(&mut db, "data", "/", "format => 'data', method => 'PUT'");
    assert_eq!(
        (request.method.as_str(), request.text().as_str()),
        ("PUT", r#"{"id":7,"total":12.50}"#)
    );

    let template = r#"format => 'template', template => '{"text": {{ "Paid: " ~ data.total ~ " by " ~ tenant }} }'"#;
    let request = sent(&mut db, "template", "/", template);
    assert_eq!(request.text(), r#"{"text": "Paid: 12.5 by müller" }"#);
    let raw = "format => 'raw', content_type => 'text/csv'";
    let request = sent(&mut db, "raw", "/", raw);
    assert_eq!(request.text(), r#"{"id":7,"total":12.50}"#);
    assert_eq!(request.header("content-type"), Some("text/csv"));
    let xml = "format => 'template', content_type => 'application/xml', template => '<to>{{ subject }}</to>'";
    let request = sent(&mut db, "xml", "/", xml);
    assert_eq!(request.header("content-type"), Some("application/xml"));
    assert_eq!(request.text(), "<to>order&#x2f;7</to>");
}

#[test]
fn url_and_headers_are_filled_in_for_each_event() {
    let mut db = Database::new(&CLUSTER, "placeholders");
    let options = r#"headers => '{"X-Tenant": "{tenant}", "X-Where": "in {region}"}', user_agent => 'shop/1.0'"#;
    let request = sent(&mut db, "shop", "/of/{tenant}/{type}?id={id}", options);
    assert_eq!(request.path, "/of/m%C3%BCller/order.paid?id=o-1");
    assert_eq!(request.header("x-tenant"), Some("m%C3%BCller"));
    assert_eq!(request.header("x-where"), Some("in eu%20west"));
    assert_eq!(request.header("user-agent"), Some("shop/1.0"));
}

#[test]
fn a_compressed_request_unpacks_to_the_body_of_the_preview() {
    let mut db = Database::new(&CLUSTER, "gzip");
    let request = sent(
        &mut db,
        "shop",
        "/",
        "compression => 'gzip', format => 'data'",
    );
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(request.body[..2], [0x1f, 0x8b]);
}

#[test]
fn an_event_tells_of_the_session_that_wrote_it_as_the_profile_says() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "profiles");
    for profile in ["minimal", "standard", "detailed"] {
        db.subscribe_at(
            profile,
            &receiver.url(&format!("/{profile}")),
            &format!("profile => '{profile}'"),
        );
    }
    db.run(
        "set herald.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
         set herald.tracestate = 'vendor=1'; set herald.actor = 'Ada';
         select herald.emit('order.paid', '{\"total\": 1}')",
    );
    db.settle();
    let bodies = receiver.requests();
    let of = |profile: &str| {
        let request = bodies
            .iter()
            .find(|request| request.path == format!("/{profile}"));
        request.expect("each profile was sent").json()
    };
    for (profile, has_data, is_detailed) in [
        ("minimal", false, false),
        ("standard", true, false),
        ("detailed", true, true),
    ] {
        let body = of(profile);
        assert_eq!(
            body["traceparent"],
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        );
        assert_eq!(body["tracestate"], "vendor=1");
        assert_eq!(body.get("data").is_some(), has_data, "{profile}");
        for name in ["actor", "role", "sequence", "recordedtime"] {
            assert_eq!(body.get(name).is_some(), is_detailed, "{profile} {name}");
        }
    }
    assert_eq!(
        (&of("detailed")["actor"], &of("detailed")["role"]),
        (&json!("Ada"), &json!("postgres"))
    );
}

#[test]
fn deep_data_is_delivered_where_nothing_reads_it_and_poison_elsewhere() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "deep");
    db.subscribe("whole", &receiver, "");
    db.subscribe_at(
        "template",
        &receiver.url("/t"),
        "format => 'template', template => '{\"x\": 1}'",
    );
    db.run("create table t (id int, doc jsonb); select from herald.watch('t')");
    db.run("insert into t select n, (repeat('[', n) || repeat(']', n))::jsonb from unnest(array[1300, 10000]) n");
    db.run("select herald.emit('x', (repeat('[',1300)||repeat(']',1300))::jsonb)");
    db.until_dead("poison poison poison");
    receiver.wait_for(3, SOON);
    let error = db.refusal(
        "select herald.preview('template', (select uid::text from herald.event where type = 'x'))",
    );
    assert!(
        error.message().contains("nested in more than 128 levels"),
        "{error}"
    );
    assert_eq!(
        db.count("herald.dead_letter where subscription = 'template'"),
        3
    );
}

#[test]
fn an_event_that_no_request_can_be_made_of_is_buried_with_the_reason() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "unsendable");
    db.subscribe_at("path", &receiver.url("/{tenant}"), "");
    db.subscribe(
        "json",
        &receiver,
        "format => 'template', template => '{\"a\": {% if tenant %}1{% endif %} }'",
    );
    db.run("select herald.emit('order.paid')");
    db.until_dead("poison poison");
    assert_eq!(receiver.total(), 0);
    let words = db.texts("select subscription || ': ' || error_class || ', ' || error from herald.attempt order by 1");
    assert_eq!(
        words,
        [
            "json: template, the event cannot be sent: its template made no JSON: expected value at line 1 column 8",
            "path: template, the event cannot be sent: the url of its subscription needs {tenant}, which the event lacks",
        ]
    );
}

#[test]
fn a_large_event_goes_in_a_smaller_profile_where_the_subscription_wants_that() {
    let (receiver, mut db) = subscribed(&CLUSTER, "shrink", "shrink => true, max_payload => 1000");
    db.run("select herald.emit('order.paid', jsonb_build_object('words', repeat('x', 5000)), subject => '42')");
    db.settle();
    let request = only_request(&receiver);
    assert_eq!(request.signature, Signature::Valid);
    assert_eq!(
        (&request.json()["subject"], request.json().get("data")),
        (&json!("42"), None)
    );
}

#[test]
fn each_faulty_option_is_refused_at_subscribe_and_at_update() {
    let mut db = Database::new(&CLUSTER, "faulty");
    db.subscribe_at("shop", "http://127.0.0.1:1/", "");
    for (option, value, message) in [
        ("method", "GET", "invalid method"),
        ("format", "xml", "invalid format"),
        ("format", "template", "invalid template"),
        ("template", "{{ a }}", "invalid template"),
        ("content_type", "text", "invalid content_type"),
        ("profile", "tiny", "invalid profile"),
        ("compression", "zip", "invalid compression"),
        ("user_agent", "a\nb", "invalid user_agent"),
        ("signing", "\"gihtub\"", "invalid signing"),
        (
            "signing",
            "{\"header\": \"host\"}",
            "invalid header \"host\"",
        ),
        ("auth", "{\"type\": \"digest\"}", "invalid auth"),
        ("auth", "{\"type\": 1}", "auth is not an object of strings"),
        ("url", "http://{type}.example/", "invalid url"),
    ] {
        let quoted = format!("E'{}'", value.replace('\n', "\\n"));
        for statement in [
            format!("select herald.subscribe('shop', {option} => {quoted})"),
            format!("update herald.subscription set {option} = {quoted}"),
        ] {
            let error = db.refusal(&statement);
            assert_eq!(
                error.code(),
                &SqlState::INVALID_PARAMETER_VALUE,
                "{statement}"
            );
            assert_eq!(error.message(), message, "{statement}");
            assert!(error.hint().is_some(), "{statement}");
        }
    }
    assert_eq!(
        hint(&db.refusal("select herald.subscribe('shop', signing => '\"gihtub\"')")),
        "Perhaps you meant \"github\"."
    );
    let both = db.refusal(
        "select herald.subscribe('shop', headers => '{\"Authorization\": \"x\"}', auth => '{\"type\": \"bearer\", \"token\": \"t\"}')",
    );
    assert_eq!(
        both.detail(),
        Some("It is written by the option auth already.")
    );
}

#[test]
fn a_signature_that_its_secret_does_not_fit_needs_another_secret() {
    let receiver = Receiver::builder().start().expect("a receiver starts");
    let mut db = Database::new(&CLUSTER, "change_signing");
    db.run(&format!(
        "select herald.subscribe('shop', url => '{}', signing => '\"github\"', secret => 'a secret of theirs')",
        receiver.url("/")
    ));
    let refused = db.refusal("update herald.subscription set signing = '\"standard\"'");
    assert_eq!(
        hint(&refused),
        "Run: select * from herald.subscribe('shop', signing => '\"standard\"', secret => herald.generate_secret());"
    );
    db.run("select herald.subscribe('shop', signing => '\"standard\"', secret => herald.generate_secret())");
    assert_eq!(db.count("herald.secret where kind = 'signing'"), 1);
    // In the other direction, nothing has to change.
    db.run(
        "update herald.subscription set signing = '\"github\"'; select herald.emit('order.paid')",
    );
    receiver.wait_for(1, SOON);
    assert!(
        only_request(&receiver)
            .header("x-hub-signature-256")
            .is_some()
    );
}

#[test]
fn credentials_are_kept_like_secrets_and_stay_when_they_are_not_given_again() {
    let receiver = Receiver::builder().start().expect("a receiver starts");
    let mut db = Database::subscribed(
        &CLUSTER,
        "credentials",
        &receiver,
        r#"auth => '{"type": "basic", "username": "ada", "password": "canary"}'"#,
    );
    assert_eq!(
        db.text("select auth from herald.subscription"),
        r#"{"type": "basic", "password": "***", "username": "ada"}"#
    );
    db.run(r#"update herald.subscription set auth = auth || '{"username": "eve"}'"#);
    db.run("select herald.emit('order.paid')");
    receiver.wait_for(1, SOON);
    assert_eq!(
        only_request(&receiver).header("authorization"),
        Some("Basic ZXZlOmNhbmFyeQ==")
    );
    let refused =
        db.refusal(r#"update herald.subscription set auth = '{"type": "bearer", "token": "***"}'"#);
    assert_eq!(refused.message(), "auth \"token\" has no value to keep");
    db.run("update herald.subscription set auth = null; select herald.emit('order.paid')");
    receiver.wait_for(2, SOON);
    assert_eq!(receiver.requests()[1].header("authorization"), None);
    assert_eq!(db.count("herald.secret where kind = 'auth'"), 0);
    let told = db.text("select string_agg(a::text, '') from herald.audit a");
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn a_token_is_fetched_once_and_again_when_the_receiver_refuses_it() {
    let receiver = receiver_with(Mode::answer_with(|request| match request.path.as_str() {
        "/token" => Answer::new(200).body(format!(
            r#"{{"access_token":"token-{}","expires_in":3600}}"#,
            request.attempt
        )),
        _ if request.header("authorization") == Some("Bearer expired") => Answer::new(401),
        _ => Answer::new(200),
    }));
    let mut db = Database::new(&CLUSTER, "oauth2");
    let auth = format!(
        r#"auth => '{{"type": "oauth2", "token_url": "{}", "client_id": "herald", "client_secret": "canary"}}'"#,
        receiver.url("/token")
    );
    db.subscribe_at("shop", &receiver.url("/hook"), &auth);
    for _ in 0..3 {
        db.run("select herald.emit('order.paid')");
        db.settle();
    }
    let paths: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.path.clone())
        .collect();
    assert_eq!(paths, ["/token", "/hook", "/hook", "/hook"]);
    assert_eq!(
        receiver.requests()[1].header("authorization"),
        Some("Bearer token-0")
    );
}

#[test]
fn a_public_key_is_shown_and_a_symmetric_secret_never() {
    let mut db = Database::new(&CLUSTER, "public_key");
    db.run("select herald.subscribe('shop', url => 'http://127.0.0.1:1/', secret => herald.generate_secret('v1a'))");
    assert!(
        db.text("select herald.public_key('shop')")
            .starts_with("whpk_")
    );
    db.run("select herald.rotate_secret('shop')");
    assert_eq!(db.text("select herald.public_key('shop')"), "-");
    assert_eq!(
        hint(&db.refusal("select herald.generate_secret('rsa')")),
        "Use v1 (whsec_..., symmetric) or v1a (whsk_..., ed25519)."
    );
}
