//! The envelope of the frame sampling system, the document's example of a template.

use serde_json::{Value, json};

use crate::common::document::with_origin;
use crate::common::{Database, SOON};
use crate::snippets::{Questions, Snippets, seed};
use crate::{CLUSTER, Scheme, document, only_signed, server_accepts, subscribe};

use herald_trial::Receiver;

/// Runs the document's statement with another receiver. Returns the secret.
fn run_example(db: &mut Database, name: &str, receiver: &Receiver) -> String {
    let example = document::block("run", &format!("{name}.sql"));
    let example = with_origin(&example, receiver.url("/").trim_end_matches('/'));
    let call = example
        .strip_prefix("select ")
        .expect("a query")
        .trim_end_matches(';');
    db.text(&format!("select secret from {call}"))
}

#[test]
fn the_documented_template_makes_the_envelope_and_signs_it_twice() {
    let mut db = Database::new(&CLUSTER, "envelope");
    let receiver = Receiver::start().expect("a receiver starts");
    let secret = run_example(&mut db, "frame", &receiver);
    db.run(
        r#"select herald.emit('incident_detected', '{"incident_id": "inc_def456", "confidence": 0.94, "details": {"objects": [
            {"type": "person", "confidence": 0.940, "bounding_box": {"x": 120, "y": 45}}]}, "note": "ü \"x\" </script>"}',
            source => '/id-prod-02', priority => 'high', occurred_at => '2025-09-22T10:16:45.789Z')"#,
    );
    let sent = only_signed(&receiver, &secret);
    let body: Value = serde_json::from_slice(&sent.body).expect("it is JSON");
    assert_eq!(body["event"], "incident_detected");
    assert_eq!(body["timestamp"], "2025-09-22T10:16:45.789Z");
    assert_eq!(
        body["source"],
        json!({"system": "shop", "version": "1.0.0", "instance_id": "/id-prod-02"})
    );
    assert_eq!(body["data"]["details"]["objects"][0]["confidence"], 0.94);
    assert_eq!(body["data"]["note"], "ü \"x\" </script>");
    let id = sent.headers["x-request-id"].as_str();
    assert_eq!(
        body["meta"],
        json!({"request_id": id, "priority": "high", "schema_version": "1.0.0"})
    );
    assert_eq!(sent.headers["webhook-id"], id);
    assert_eq!(sent.headers["content-type"], "application/json");
    let is_recent = "select abs(extract(epoch from now() - $1::text::timestamptz)) < 60";
    assert!(
        db.row(is_recent, &[&sent.headers["x-timestamp"]])
            .get::<_, bool>(0)
    );
    assert!(
        body["signature"]
            .as_str()
            .unwrap_or_default()
            .starts_with("sha256=")
    );
    assert_ne!(
        body["signature"].as_str(),
        Some(sent.headers["x-webhook-signature"].as_str())
    );

    let snippets = Snippets::write();
    let mut questions = Questions::default();
    let files = snippets
        .of("frame")
        .into_iter()
        .chain(snippets.of("frame_body"));
    for file in files.chain([seed("seed_frame.py")]) {
        questions.add("the envelope", &file, &sent, &json!({}), true);
        for forged in sent.flipped_bodies() {
            questions.add("a flipped byte", &file, &forged, &json!({}), false);
        }
    }
    questions.ask();
    assert!(server_accepts(&mut db, "frame", &sent, "300 s"));
}

#[test]
fn in_the_canonical_form_the_signature_in_the_body_verifies_after_parsing_too() {
    let mut db = Database::new(&CLUSTER, "canonical_frame");
    let signing = r#"{"preset": "frame", "canonical": "ecmascript"}"#;
    assert!(document::TEXT.contains(signing));
    let mut questions = Questions::default();
    for (name, format) in [("data", "data"), ("whole", "structured")] {
        let options = format!("signing => '{signing}', format => '{format}'");
        let (receiver, secret) = subscribe(&mut db, name, &options);
        db.run(r#"select herald.emit('frame_sampled', '{"b": -74.0060, "10": 1e30, "9": "é", "a": {"2": 0.10, "1": 1e-9}}')"#);
        let sent = only_signed(&receiver, &secret);
        questions.add(format, &seed("seed_frame.mjs"), &sent, &json!({}), true);
        questions.add(format, &seed("seed_frame.py"), &sent, &json!({}), true);
        let forged = String::from_utf8_lossy(&sent.body).replace("-74.006", "-74.007");
        let forged = sent.with_body(forged.as_bytes());
        questions.add(
            "forged",
            &seed("seed_frame.mjs"),
            &forged,
            &json!({}),
            false,
        );
        db.run(&format!("select herald.unsubscribe('{name}')"));
    }
    questions.ask();
}

#[test]
fn for_python_the_signature_in_the_body_verifies_after_parsing() {
    let mut db = Database::new(&CLUSTER, "python_frame");
    let signing = r#"{"preset": "frame", "canonical": "python"}"#;
    let mut questions = Questions::default();
    for (name, format) in [("data", "data"), ("whole", "structured")] {
        let options = format!("signing => '{signing}', format => '{format}'");
        let (receiver, secret) = subscribe(&mut db, name, &options);
        db.run(r#"select herald.emit('frame_sampled', '{"b": -74.0060, "10": 1e20, "9": "Łódź 😀", "a": {"2": 0.10, "1": 1e-9, "é": 12345678901234567890}}')"#);
        let sent = only_signed(&receiver, &secret);
        questions.add(format, &seed("parsed_frame.py"), &sent, &json!({}), true);
        let forged = String::from_utf8_lossy(&sent.body).replace("-74.006", "-74.007");
        let forged = sent.with_body(forged.as_bytes());
        questions.add(
            "forged",
            &seed("parsed_frame.py"),
            &forged,
            &json!({}),
            false,
        );
        db.run(&format!("select herald.unsubscribe('{name}')"));
    }
    questions.ask();
}

#[test]
fn the_documented_code_reads_a_body_of_nothing_but_the_signature() {
    let mut db = Database::new(&CLUSTER, "empty_frame");
    let options = "signing => '\"frame\"', format => 'data'";
    let (receiver, secret) = subscribe(&mut db, "frames", options);
    db.run("select herald.emit('a.b', '{}')");
    let sent = only_signed(&receiver, &secret);
    let snippets = Snippets::write();
    let mut questions = Questions::default();
    for file in snippets.of("frame_body") {
        questions.add("no data", &file, &sent, &json!({}), true);
        let forged = String::from_utf8_lossy(&sent.body).replace('{', "{\"a\":1,");
        let forged = sent.with_body(forged.as_bytes());
        questions.add("forged", &file, &forged, &json!({}), false);
    }
    questions.ask();
}

#[test]
fn a_body_that_has_no_place_for_the_signature_is_buried() {
    let mut db = Database::new(&CLUSTER, "no_place");
    let options = "signing => '\"frame\"', format => 'data'";
    let (receiver, _) = subscribe(&mut db, "frames", options);
    db.run(r#"select herald.emit('a.b', '[1]'); select herald.emit('a.b', '{"signature": 1}'); select herald.emit('a.b')"#);
    db.until_dead("poison poison poison");
    assert_eq!(receiver.total(), 0);
}

#[test]
fn the_documented_custom_scheme_matches_its_vector() {
    let mut db = Database::new(&CLUSTER, "own_example");
    let receiver = Receiver::start().expect("a receiver starts");
    let secret = run_example(&mut db, "own", &receiver);
    db.run("select herald.emit('order.paid', '{\"total\": 1}')");
    receiver.wait_for(1, SOON);
    let sent = only_signed(&receiver, &secret);
    assert!(server_accepts(
        &mut db,
        Scheme::named("own").signing,
        &sent,
        "300 s"
    ));
}
