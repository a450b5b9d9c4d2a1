//! The document's vectors: its code and the server agree on each, and on every change of it.

use serde_json::{Value, json};

use crate::alter::{Signed, forgeries, unnoticed};
use crate::common::Database;
use crate::snippets::{Questions, Snippets, seed};
use crate::{CLUSTER, SCHEMES, Scheme, document, server_accepts};

/// The vectors date from 2021.
const ANY_TIME: &str = "100 years";

#[test]
fn every_snippet_accepts_its_vector_and_refuses_every_change_of_it() {
    let snippets = Snippets::write();
    let timestamp = document::input().timestamp;
    let mut questions = Questions::default();
    for scheme in &SCHEMES {
        let valid = scheme.vector();
        let now = json!({"now": timestamp});
        for file in snippets.of(scheme.name) {
            let mut add = |what: &str, request: &Signed, extra: &Value, expected: bool| {
                questions.add(what, &file, request, extra, expected);
            };
            add("the vector", &valid, &now, true);
            for (what, forged) in forgeries(scheme, &valid) {
                add(&what, &forged, &now, false);
            }
            for (what, changed) in unnoticed(scheme, &valid) {
                add(&what, &changed, &now, true);
            }
            for (late, is_recent) in [(-301, false), (-300, true), (300, true), (301, false)] {
                let now = json!({"now": timestamp + late});
                let what = format!("{late} s late");
                add(&what, &valid, &now, is_recent || !is_timed(scheme));
            }
            add("the vector now", &valid, &json!({}), !is_timed(scheme));
        }
    }
    assert!(questions.ask() > 7_000);
}

/// Returns true if a receiver refuses old requests.
fn is_timed(scheme: &Scheme) -> bool {
    !matches!(scheme.name, "github" | "shopify" | "leafengines" | "frame")
}

#[test]
fn every_vector_is_of_the_same_event_and_attempt() {
    let input = document::input();
    let at = "2021-02-25T15:02:10.000Z";
    for scheme in &SCHEMES {
        let vector = scheme.vector();
        for name in scheme.signed.iter().chain(scheme.unsigned) {
            let value = &vector.headers[*name];
            let known = [
                &input.id,
                &input.event_type,
                &input.timestamp.to_string(),
                at,
            ];
            assert!(known.iter().any(|known| *known == value), "{name}: {value}");
        }
        assert!(String::from_utf8_lossy(&vector.body).contains(&input.id));
        assert!(String::from_utf8_lossy(&vector.body).contains(&input.event_type));
    }
}

#[test]
fn the_server_accepts_every_vector_and_refuses_every_change_of_it() {
    let mut db = Database::new(&CLUSTER, "vectors");
    for scheme in &SCHEMES {
        let valid = scheme.vector();
        let name = scheme.name;
        let mut accepts =
            |request: &Signed| server_accepts(&mut db, scheme.signing, request, ANY_TIME);
        assert!(accepts(&valid), "{name}");
        for (what, forged) in forgeries(scheme, &valid) {
            assert!(!accepts(&forged), "{name}: {what}");
        }
        for (what, changed) in unnoticed(scheme, &valid) {
            assert!(accepts(&changed), "{name}: {what}");
        }
        assert_eq!(
            server_accepts(&mut db, scheme.signing, &valid, "300 s"),
            !is_timed(scheme),
            "{name} now"
        );
    }
}

#[test]
fn the_parsed_body_and_the_signature_in_the_body_are_verified_as_documented() {
    let snippets = Snippets::write();
    let mut questions = Questions::default();
    let parsed = json!({"isParsed": true});
    let leafengines = Scheme::named("leafengines").vector();
    let [node, _] = snippets.of("leafengines");
    questions.add("the vector, parsed", &node, &leafengines, &parsed, true);
    for forged in leafengines.flipped_bodies() {
        questions.add("a flipped byte, parsed", &node, &forged, &parsed, false);
    }
    let frame = Scheme::named("frame").vector();
    for file in snippets.of("frame_body") {
        let mut add = |what: &str, body: &[u8], expected: bool| {
            questions.add(what, &file, &frame.with_body(body), &json!({}), expected);
        };
        add("the vector", &frame.body, true);
        for forged in frame.flipped_bodies() {
            add("a flipped byte", &forged.body, false);
        }
        for longer in [" ", "\n", "}"] {
            add(
                "a longer body",
                &[&frame.body[..], longer.as_bytes()].concat(),
                false,
            );
        }
        for body in [
            "",
            "{}",
            "[]",
            r#"{"signature":"sha256="}"#,
            r#"{"a":1,"signature":""}"#,
        ] {
            add(body, body.as_bytes(), false);
        }
    }
    questions.ask();
}

#[test]
fn the_generic_snippets_verify_every_scheme_that_they_say_they_do() {
    let snippets = Snippets::write();
    let mut questions = Questions::default();
    let presets = document::presets();
    let mut covered = Vec::new();
    for (name, parts) in &presets {
        let parts: Value = serde_json::from_str(parts).expect("parts are JSON");
        let is_generic = ["key", "lead", "separator"]
            .iter()
            .all(|part| parts.get(part).is_none());
        if !is_generic {
            continue;
        }
        covered.push(*name);
        let scheme = Scheme::named(name);
        let extra = json!({"parts": parts, "now": document::input().timestamp});
        for file in snippets.of("own") {
            questions.add(name, &file, &scheme.vector(), &extra, true);
            for (what, forged) in forgeries(scheme, &scheme.vector()) {
                questions.add(&format!("{name}: {what}"), &file, &forged, &extra, false);
            }
        }
    }
    assert_eq!(
        covered,
        [
            "leafengines",
            "humana",
            "frame",
            "github",
            "shopify",
            "slack"
        ]
    );
    questions.ask();
}

#[test]
fn hubspot_vectors_are_accepted_and_no_change_of_them_is() {
    let mut db = Database::new(&CLUSTER, "hubspot");
    for name in ["hubspot-v1", "hubspot-v2", "hubspot-v3"] {
        let vector = document::vector(name);
        let mut accepts = |request: &Signed, method: &str, url: &str| -> bool {
            let headers = serde_json::to_string(&request.headers).expect("headers are text");
            let call = "select herald.verify($1, $2, $3::text::jsonb, $4, '100 years', $5, $6)";
            let row = db.row(
                call,
                &[
                    &name,
                    &request.secret,
                    &headers,
                    &request.body,
                    &method,
                    &url,
                ],
            );
            row.get(0)
        };
        let valid = &vector.request;
        assert!(accepts(valid, &vector.method, &vector.url), "{name}");
        for forged in valid.flipped_bodies() {
            assert!(!accepts(&forged, &vector.method, &vector.url), "{name}");
        }
        for (header, value) in &valid.headers {
            let altered = valid.with_header(header, &value.replace('2', "3"));
            assert!(
                !accepts(&altered, &vector.method, &vector.url),
                "{name} {header}"
            );
        }
        if name != "hubspot-v1" {
            assert!(!accepts(valid, "PUT", &vector.url), "{name}");
            assert!(
                !accepts(valid, &vector.method, "https://www.example.com/other"),
                "{name}"
            );
        }
    }
    let mut questions = Questions::default();
    let v1 = document::vector("hubspot-v1").request;
    questions.add("HubSpot", &seed("seed_romashka.mjs"), &v1, &json!({}), true);
    let shopify = Scheme::named("shopify").vector();
    questions.add(
        "Shopify",
        &seed("seed_romashka.mjs"),
        &shopify,
        &json!({}),
        true,
    );
    questions.ask();
}

#[test]
fn all_code_of_the_document_in_languages_that_are_run_is_run() {
    for (fence, ending) in [("js", ".mjs"), ("python", ".py")] {
        let blocks = document::blocks("run");
        let run = blocks.iter().filter(|block| block.name.ends_with(ending));
        assert_eq!(document::count_fences(fence), run.count(), "{fence}");
    }
    // Two more than schemes: the signature in the body of frame, in both languages.
    let run = document::blocks("run").len();
    assert_eq!(
        run,
        2 * (SCHEMES.len() + 1) + 3,
        "with frame.sql, own.sql and shopify.sql"
    );
}
