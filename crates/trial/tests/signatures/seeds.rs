//! Receivers of existing systems, with their own code to verify, and rows that are hard on it.

use herald_trial::Receiver;
use serde_json::json;

use crate::common::{Database, SOON, text_at};
use crate::snippets::{Questions, seed};
use crate::{CLUSTER, Scheme, only_signed, server_accepts, signed, subscribe};

/// LeafEngines' own example of an event.
const IDENTIFIED: &str = r#"select herald.emit('dev.leafengines.identification.completed', '{
    "identification_id": "id_789xyz",
    "species": {"scientific_name": "Quercus robur", "common_name": "English Oak", "confidence": 0.94},
    "environmental_compatibility": 0.87,
    "location": {"latitude": 40.7128, "longitude": -74.0060, "county_fips": "36061"},
    "flags": ["native_species"],
    "processing_time_ms": 245, "model_version": "v2.4.1", "customer_reference": "batch_2025_q4_001"}',
    source => '/api/v1/identify', id => 'evt_abc123def456', subject => 'identification/id_789xyz',
    occurred_at => '2025-12-09T14:30:00.000Z')"#;

/// A watched table with a column for everything that JSON writers disagree on.
const TABLE: &str = r#"create table reading (
    id bigint primary key, price numeric(12,4), ratio double precision, small real, "7" integer, "10" integer,
    document jsonb, text_as_json json, words text, at timestamptz, raw bytea)"#;

const ROWS: i64 = 60;

/// Rows that fit doubles: the largest and smallest numbers, random numbers with zeros at their ends, keys that are
/// array indices, duplicate keys, lone surrogates, and what JavaScript treats as special.
const INSERT: &str = r#"insert into reading
    select 9007199254740993 - n * n, ((random() - 0.5) * 2e8)::numeric(12,4),
           case n % 6 when 0 then 1e30 when 1 then 5e-324 when 2 then -1.7976931348623157e308 when 3 then '-0'
                      when 4 then (random() - 0.5) * 10 ^ (n - 30) else 'NaN' end,
           0.1, n, -n,
           jsonb_build_object('10', n, '9', -74.0060, 'b', round(random()::numeric, n::integer % 13), 'a', 1e21, '01', 0.10, '', null,
                              '-1', 1.0, '4294967295', 100, '4294967294', 1e-7, '__proto__', jsonb_build_object('2', 2, '1', 1)),
           '{"z": 1.50, "1": [1E400000000, 1E2], "z": "\ud800", "\u0061": "\u00e9\/\ud83d\ude00"}'::text::json,
           E'Łódź 😀 \u2028 "quoted" \\ back\b\f\n\r\t \x1f' || chr(n::integer + 1), now(), '\x00ff'
    from generate_series(1, 60) n"#;

/// Captures and emits events. Returns the receiver that accepted them all, and its secret.
fn captured(name: &str, scheme: &Scheme, options: &str) -> (Database, Receiver, String) {
    let mut db = Database::new(&CLUSTER, name);
    let (receiver, secret) = subscribe(&mut db, name, &format!("{}{options}", scheme.option()));
    let mut insert = INSERT.to_owned();
    if scheme.name == "leafengines" {
        // Only receivers that do not parse the data get numbers that nothing can hold.
        insert = insert.replace("1E400000000", "1E22");
    }
    if options.contains("template") {
        // Templates read the data, and a lone surrogate is not text.
        insert = insert.replace(r"\ud800", "");
    }
    db.run(&format!(
        "select setseed(0.5); {TABLE}; select herald.watch('reading'); {insert}; {IDENTIFIED};
         update reading set price = price + 0.0001 where \"7\" <= 10; delete from reading where \"7\" > 50"
    ));
    let events = usize::try_from(ROWS + 1 + 10 + 10).expect("it is small");
    assert!(
        receiver.holds_within(SOON, |receiver| receiver.accepted() >= events),
        "{receiver:?} {:?}",
        db.texts("select attempt_log::text from herald.dead_letter limit 3")
    );
    (db, receiver, secret)
}

/// Asserts that the receiver accepts all that came, and nothing with a byte flipped.
fn verify_all(db: &mut Database, receiver: &Receiver, secret: &str, scheme: &Scheme, code: &str) {
    let file = seed(code);
    let mut questions = Questions::default();
    for request in receiver.requests() {
        let sent = signed(&request, secret);
        questions.add(&request.text(), &file, &sent, &json!({}), true);
        assert!(
            server_accepts(db, scheme.signing, &sent, "300 s"),
            "{}",
            request.text()
        );
        // Code that reads a double may see the same number in another digit.
        let others = sent.flipped_bodies().zip(&sent.body);
        let others = others.filter(|(_, byte)| !byte.is_ascii_digit());
        for (forged, _) in others.step_by(37) {
            questions.add("a flipped byte", &file, &forged, &json!({}), false);
        }
        let mut forged = sent.headers[scheme.signature].clone().into_bytes();
        let middle = forged.len() / 2;
        forged[middle] ^= 1;
        let forged = String::from_utf8(forged).expect("it is ASCII");
        let forged = sent.with_header(scheme.signature, &forged);
        questions.add(
            "a flipped bit in the signature",
            &file,
            &forged,
            &json!({}),
            false,
        );
    }
    assert!(questions.ask() > 81 * 3);
}

#[test]
fn leafengines_verifies_what_it_parsed() {
    let scheme = Scheme::named("leafengines");
    let (mut db, receiver, secret) = captured("leafengines", scheme, "");
    verify_all(&mut db, &receiver, &secret, scheme, "seed_leafengines.mjs");
    let requests = receiver.requests();
    let example = requests
        .iter()
        .find(|request| text_at(request, "/id") == "evt_abc123def456");
    let example = example.expect("it came").text();
    let expected = r#"{"specversion":"1.0","id":"evt_abc123def456","source":"/api/v1/identify","type":"dev.leafengines.identification.completed","subject":"identification/id_789xyz","time":"2025-12-09T14:30:00Z","datacontenttype":"application/json","data":"#;
    assert!(example.starts_with(expected), "{example}");
    assert!(example.contains(r#""longitude":-74.006,"#), "{example}");
}

#[test]
fn leafengines_verifies_every_format_of_json() {
    for (name, options) in [
        ("leaf_batched", ", format => 'batched'"),
        ("leaf_envelope", ", format => 'envelope'"),
        ("leaf_data", ", format => 'data'"),
        (
            "leaf_template",
            ", format => 'template', template => '{\"b\": {{ data }}, \"1\": {{ time }} }'",
        ),
    ] {
        let scheme = Scheme::named("leafengines");
        let (mut db, receiver, secret) = captured(name, scheme, options);
        verify_all(&mut db, &receiver, &secret, scheme, "seed_leafengines.mjs");
    }
}

#[test]
fn humana_verifies_time_and_body() {
    let scheme = Scheme::named("humana");
    let (mut db, receiver, secret) = captured("humana", scheme, "");
    verify_all(&mut db, &receiver, &secret, scheme, "seed_humana.mjs");
}

#[test]
fn frame_sampling_verifies_the_body_as_it_came() {
    let scheme = Scheme::named("frame");
    for (name, options) in [
        ("frame_structured", ""),
        ("frame_data", ", format => 'data'"),
    ] {
        let (mut db, receiver, secret) = captured(name, scheme, options);
        verify_all(&mut db, &receiver, &secret, scheme, "seed_frame.py");
    }
}

#[test]
fn romashka_verifies_shopify() {
    let scheme = Scheme::named("shopify");
    let (mut db, receiver, secret) = captured("romashka", scheme, "");
    verify_all(&mut db, &receiver, &secret, scheme, "seed_romashka.mjs");
}

#[test]
fn prospectpro_gets_its_token_beside_a_signature() {
    let mut db = Database::new(&CLUSTER, "prospectpro");
    let options = r#"auth => '{"type": "bearer", "token": "your_secure_token_here"}', format => 'data', timeout => '10 s'"#;
    let (receiver, secret) = subscribe(&mut db, "prospectpro", options);
    db.run(r#"select herald.emit('lead.created', '{"lead_id": 123, "webhook_type": "lead_enrichment"}')"#);
    let sent = only_signed(&receiver, &secret);
    assert_eq!(
        sent.headers["authorization"],
        "Bearer your_secure_token_here"
    );
    assert!(server_accepts(&mut db, "standard", &sent, "300 s"));
}

#[test]
fn a_number_that_no_double_holds_is_buried_with_its_name() {
    let mut db = Database::new(&CLUSTER, "large_numbers");
    let (receiver, _) = subscribe(&mut db, "leaf", &Scheme::named("leafengines").option());
    db.run("create table account (id bigint primary key); select herald.watch('account')");
    db.run("insert into account values (9007199254740992), (9007199254740993)");
    db.until_dead("poison");
    db.settle();
    assert_eq!(receiver.accepted(), 1, "the other is exact");
    let error = "the event cannot be sent: the number 9007199254740993 at data.record.id has no exact double";
    assert_eq!(
        db.text("select attempt_log #>> '{0,error}' from herald.dead_letter"),
        error
    );
    assert_eq!(db.text("select attempts from herald.dead_letter"), "1");
    assert!(crate::document::TEXT.contains(error));
}

#[test]
fn a_number_that_no_double_holds_is_a_string_where_that_is_wanted() {
    let mut db = Database::new(&CLUSTER, "strings");
    let signing = r#"signing => '{"preset": "leafengines", "large_numbers": "strings"}'"#;
    let (receiver, secret) = subscribe(&mut db, "leaf", signing);
    db.run(
        "create table account (id bigint primary key, total numeric); select herald.watch('account');
         insert into account values (-9007199254740993, 12345678901234567890.10)",
    );
    let sent = only_signed(&receiver, &secret);
    let body = String::from_utf8_lossy(&sent.body);
    let record = r#""record":{"id":"-9007199254740993","total":"12345678901234567890.10"}"#;
    assert!(body.contains(record), "{body}");
    let mut questions = Questions::default();
    questions.add(
        "strings",
        &seed("seed_leafengines.mjs"),
        &sent,
        &json!({}),
        true,
    );
    questions.ask();
}
