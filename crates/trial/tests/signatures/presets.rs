//! What each scheme sends, verified as received by the document's code and by the server.

use herald_trial::{Mode, Receiver};
use postgres::Client;
use serde_json::{Value, json};

use crate::alter::{Signed, forgeries, unnoticed};
use crate::common::document::with_origin;
use crate::common::{Database, SOON};
use crate::snippets::{Questions, Snippets, seed};
use crate::{
    CLUSTER, SCHEMES, Scheme, document, only_signed, server_accepts, signed, signing_option,
    subscribe,
};

const EMIT: &str = "select herald.emit('order.paid', '{\"city\": \"Łódź 😀\", \"total\": 42.50}')";

/// Subscribes with this scheme. Returns the receiver and what it verifies with.
fn subscribe_with(db: &mut Database, scheme: &Scheme, options: &str) -> (Receiver, String) {
    let secret = if scheme.name == "v1a" { "v1a" } else { "v1" };
    let options = format!(
        "{}, secret => herald.generate_secret('{secret}'){options}",
        scheme.option()
    );
    let (receiver, secret) = subscribe(db, scheme.name, &options);
    if scheme.name == "v1a" {
        let public_key = db.text("select herald.public_key('v1a')");
        (receiver, public_key)
    } else {
        (receiver, secret)
    }
}

#[test]
fn packed_bytes_are_verified_by_the_document_s_functions_and_not_by_a_library_that_takes_text() {
    let mut db = Database::new(&CLUSTER, "packed");
    let snippets = Snippets::write();
    let mut questions = Questions::default();
    for (compression, library_accepts) in [("none", true), ("gzip", false)] {
        let options = format!("compression => '{compression}'");
        let (receiver, secret) = subscribe(&mut db, compression, &options);
        db.run(EMIT);
        let sent = only_signed(&receiver, &secret);
        for file in snippets.of("standard") {
            questions.add(compression, &file, &sent, &json!({}), true);
        }
        let library = seed("library.mjs");
        questions.add(compression, &library, &sent, &json!({}), library_accepts);
        db.run(&format!("select herald.unsubscribe('{compression}')"));
    }
    questions.ask();
}

#[test]
fn shopify_gets_the_headers_that_the_document_adds() {
    let mut db = Database::new(&CLUSTER, "shopify_headers");
    let receiver = Receiver::start().expect("a receiver starts");
    let example = document::block("run", "shopify.sql");
    db.run(&with_origin(
        &example,
        receiver.url("/").trim_end_matches('/'),
    ));
    db.run(EMIT);
    let sent = only_signed(&receiver, "");
    assert_eq!(sent.headers["x-shopify-shop-domain"], "shop.example.com");
    assert_eq!(sent.headers["x-shopify-api-version"], "2025-01");
    assert_eq!(sent.headers["x-shopify-topic"], "order.paid");
}

#[test]
fn what_each_scheme_sends_is_accepted_and_no_change_of_it_is() {
    let mut db = Database::new(&CLUSTER, "schemes");
    let snippets = Snippets::write();
    let mut questions = Questions::default();
    let receivers = SCHEMES
        .each_ref()
        .map(|scheme| subscribe_with(&mut db, scheme, ""));
    db.run(EMIT);
    for (scheme, (receiver, secret)) in SCHEMES.iter().zip(&receivers) {
        let name = scheme.name;
        let sent = only_signed(receiver, secret);
        assert!(String::from_utf8_lossy(&sent.body).contains("Łódź 😀"));
        assert!(sent.headers.contains_key("webhook-id"), "{name}");
        assert_eq!(
            sent.headers.contains_key("webhook-signature"),
            scheme.signing == "standard",
            "{name}"
        );
        assert_same_form(scheme, &sent);
        let mut ask = |what: &str, request: &Signed, expected: bool| {
            for file in snippets.of(name) {
                questions.add(what, &file, request, &json!({}), expected);
            }
            let answer = server_accepts(&mut db, scheme.signing, request, "300 s");
            assert_eq!(answer, expected, "{name} in the server: {what}");
        };
        ask("as it came", &sent, true);
        for (what, forged) in forgeries(scheme, &sent) {
            ask(&what, &forged, false);
        }
        for (what, changed) in unnoticed(scheme, &sent) {
            ask(&what, &changed, true);
        }
    }
    questions.ask();
}

/// Asserts that the document's example looks like what is sent: the same headers, with other letters and digits at
/// most.
fn assert_same_form(scheme: &Scheme, sent: &Signed) {
    let form = |value: &str| -> String {
        let kind = |character: char| match character {
            '+' | '/' => 'x',
            any if any.is_ascii_alphanumeric() => 'x',
            other => other,
        };
        value.chars().map(kind).collect()
    };
    let vector = scheme.vector();
    let names: Vec<_> = vector.headers.keys().collect();
    let mut expected: Vec<_> = scheme.headers().collect();
    expected.sort_unstable();
    assert_eq!(names, expected, "{}", scheme.name);
    for (name, value) in &vector.headers {
        assert_eq!(
            form(&sent.headers[name]),
            form(value),
            "{} {name}",
            scheme.name
        );
    }
}

#[test]
fn every_format_and_method_is_signed_as_it_is_sent() {
    let mut db = Database::new(&CLUSTER, "every_format");
    let snippets = Snippets::write();
    let mut questions = Questions::default();
    let formats = [
        "format => 'binary'",
        "format => 'batched'",
        "format => 'envelope'",
        "format => 'data'",
        "format => 'raw'",
        "profile => 'minimal'",
        "compression => 'gzip'",
        "method => 'PUT'",
        "format => 'template', content_type => 'text/plain; charset=utf-8', template => '{{ data.city }}'",
    ];
    for scheme in &SCHEMES {
        for format in formats {
            // The body of leafengines is JSON sent unchanged, the body of frame an object.
            let needs = match scheme.name {
                "leafengines" => &["binary", "raw", "template", "gzip"][..],
                "frame" => &["binary", "batched", "raw", "template"],
                _ => &[],
            };
            if needs.iter().any(|word| format.contains(word)) {
                continue;
            }
            let (receiver, secret) = subscribe_with(&mut db, scheme, &format!(", {format}"));
            db.run(EMIT);
            let sent = only_signed(&receiver, &secret);
            let what = format!("{} {format}", scheme.name);
            assert!(
                server_accepts(&mut db, scheme.signing, &sent, "300 s"),
                "{what}"
            );
            for file in snippets.of(scheme.name) {
                questions.add(&what, &file, &sent, &json!({}), true);
            }
            db.run(&format!("select herald.unsubscribe('{}')", scheme.name));
        }
    }
    questions.ask();
}

#[test]
fn each_attempt_is_signed_with_a_time_of_its_own() {
    let mut db = Database::new(&CLUSTER, "attempts");
    let scheme = Scheme::named("standard");
    let (receiver, secret) = subscribe_with(
        &mut db,
        scheme,
        ", retry_schedule => '{2 s}', retry_jitter => 0",
    );
    receiver.set_mode(Mode::flaky(1, 2));
    db.run(EMIT);
    receiver.wait_for(1, SOON);
    let attempts: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| signed(request, &secret))
        .collect();
    let [first, second] = &attempts[..] else {
        panic!("two attempts: {receiver:?}");
    };
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    assert_eq!(first.body, second.body);
    assert_ne!(
        first.headers["webhook-timestamp"],
        second.headers["webhook-timestamp"]
    );
    for attempt in [first, second] {
        assert!(server_accepts(&mut db, scheme.signing, attempt, "300 s"));
    }
}

#[test]
fn the_documented_parts_are_those_of_the_presets() {
    let mut db = Database::new(&CLUSTER, "parts");
    let mut documented: Vec<&str> = document::presets().iter().map(|(name, _)| *name).collect();
    documented.sort_unstable();
    let mut known: Vec<&str> = SCHEMES.iter().map(|scheme| scheme.signing).collect();
    known.retain(|name| *name != "standard" && !name.starts_with('{'));
    known.sort_unstable();
    assert_eq!(documented, known);

    let secret = document::input().secret;
    for (name, parts) in document::presets() {
        let json = ", content_type => 'application/json'";
        for (subscription, signing, content_type) in
            [("by-name", name, ""), ("by-parts", parts, json)]
        {
            let signing = signing_option(signing);
            db.run(&format!(
                "select herald.subscribe('{subscription}', url => 'http://127.0.0.1/', types => '{{nothing}}', secret => '{secret}', {signing}{content_type});
                 select herald.rotate_secret('{subscription}', secret => 'whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB')"
            ));
        }
        let event = db.text(EMIT);
        let previews = same_second(&mut db, |db| {
            ["by-name", "by-parts"].map(|name| preview(db, name, &event))
        });
        assert_eq!(previews[0], previews[1], "{name}");
        db.run("select herald.unsubscribe('by-name'); select herald.unsubscribe('by-parts')");
    }
}

/// Returns what would be sent, with the signature.
fn preview(db: &mut Client, subscription: &str, event: &str) -> Value {
    let query = "select json_build_object('headers', headers, 'body', body)::text from herald.preview($1, $2)";
    let row = db
        .query_one(query, &[&subscription, &event])
        .expect("a preview");
    serde_json::from_str(row.get(0)).expect("JSON")
}

/// Repeats `look` until it begins and ends in one second of the server's clock.
fn same_second<T>(db: &mut Database, mut look: impl FnMut(&mut Client) -> T) -> T {
    let second = "select extract(epoch from date_trunc('second', clock_timestamp()))";
    loop {
        let before = db.text(second);
        let seen = look(db);
        if db.text(second) == before {
            return seen;
        }
    }
}
