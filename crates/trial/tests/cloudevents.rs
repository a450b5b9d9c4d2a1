//! How a receiver in Node reads our requests: with the npm packages `cloudevents` and `standardwebhooks`.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Database, SECRET, cluster, receiver};
use serde_json::{Value, json};

#[test]
fn the_official_packages_verify_and_parse_what_we_send() {
    let cluster = cluster();
    let receiver = receiver();
    let mut database = Database::new(&cluster, "cloudevents");
    let url = receiver.url("/events");
    database
        .batch_execute(&format!(
            "select herald.subscribe('node', url => '{url}', secret => '{SECRET}');
             select herald.subscribe(mode, url => '{url}', secret => '{SECRET}', format => mode, types => '{{order.*,public.*}}')
             from unnest('{{binary,batched}}'::text[]) mode;
             create table public.\"Bestellung\" (id int primary key, \"Straße\" text, at timestamptz, raw bytea);
             select herald.watch('public.\"Bestellung\"');
             insert into public.\"Bestellung\" values (1, E'Hauptstraße \"1\"\\n\\t€😀', '2026-01-02 03:04:05+00', '\\x00ff');
             select herald.emit('order.paid', '{{\"total\": 1e3, \"note\": \"a\\u0001b\"}}', source => '/shop', id => 'o-1',
                                subject => 'order/1', key => 'k 1', occurred_at => '2025-12-09 14:30:00.123+00',
                                extensions => '{{\"traceparent\": \"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\", \"hop\": 3}}',
                                dataschema => 'https://example.com/order.json');
             select herald.emit('no.data')"
        ))
        .expect("events are written");
    database.settle();
    assert_eq!(receiver.total(), 7);

    let requests: Vec<Value> = receiver
        .requests()
        .iter()
        .map(|request| {
            let headers: serde_json::Map<String, Value> = request
                .headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), Value::String(value.clone())))
                .collect();
            json!({"headers": headers, "body": request.text(), "secret": SECRET})
        })
        .collect();
    let events = parse(&requests);

    let of_type = |event_type: &str| {
        let of_type = events.iter().filter(|event| event["type"] == event_type);
        of_type.collect::<Vec<_>>()
    };
    // Structured, binary and batched.
    let [paid, inserted] = ["order.paid", "public.Bestellung.inserted"].map(of_type);
    assert_eq!((paid.len(), inserted.len()), (3, 3));
    for paid in paid {
        assert_eq!(paid["id"], "o-1");
        assert_eq!(paid["source"], "/shop");
        assert_eq!(paid["subject"], "order/1");
        assert_eq!(paid["time"], "2025-12-09T14:30:00.123Z");
        // Headers allow no more, because the package does not decode them.
        assert!(["k 1", "k%201"].contains(&paid["partitionkey"].as_str().unwrap_or_default()));
        assert!(paid["hop"] == 3 || paid["hop"] == "3");
        assert_eq!(paid["dataschema"], "https://example.com/order.json");
        assert_eq!(paid["data"]["note"], "a\u{1}b");
    }
    for inserted in inserted {
        let record = &inserted["data"]["record"];
        assert_eq!(record["Straße"], "Hauptstraße \"1\"\n\t€😀");
        assert_eq!(record["raw"], "\\x00ff");
    }
    assert!(of_type("no.data")[0].get("data").is_none());
}

fn parse(requests: &[Value]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify");
    assert!(
        folder.join("node_modules/cloudevents").exists(),
        "the npm packages are missing: run cargo xtask setup"
    );
    let mut node = Command::new("node")
        .arg("parse.mjs")
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut input = node.stdin.take().expect("the input is a pipe");
    for request in requests {
        writeln!(input, "{request}").expect("node reads");
    }
    drop(input);
    let output = node.wait_with_output().expect("node ends");
    assert!(output.status.success(), "node refused a request");
    String::from_utf8(output.stdout)
        .expect("node writes UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("node writes JSON"))
        .collect()
}
