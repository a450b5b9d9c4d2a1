//! The quickstart of README.md, with its ten-line receiver.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use herald_trial::wait::eventually;

use crate::CLUSTER;
use crate::common::{SOON, document};

const README: &str = include_str!("../../../../README.md");

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn block(name: &str, port: u16) -> String {
    let text = document::block(README, "run", name);
    assert_eq!(text.matches("9999").count(), 1, "{text}");
    text.replace("9999", &port.to_string())
}

#[test]
fn the_quickstart_is_printed_by_its_receiver_in_python() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, block(name, port)).expect("it is written");
        path
    };
    let receiver = Command::new("python3")
        .arg(file("receiver.py"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 starts");
    let mut receiver = Running(receiver);
    let printed = receiver.0.stdout.take().expect("its output is a pipe");
    eventually(SOON, "the receiver listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });

    CLUSTER.create_database("shop").expect("a database");
    let quickstart = file("quickstart.sql").display().to_string();
    let options = ["-X", "-v", "ON_ERROR_STOP=1", "-f", &quickstart];
    let shown = CLUSTER
        .run_client("psql", "shop", &options)
        .expect("psql runs");
    for row in [
        "public.orders.inserted | billing      | delivered |         204 |        1",
        "public.orders.updated  | billing      | delivered |         204 |        1",
    ] {
        assert!(shown.contains(row), "{shown}");
    }

    // Each event prints two lines: its id and its body.
    let lines: Vec<String> = BufReader::new(printed)
        .lines()
        .take(4)
        .map(|line| line.expect("text"))
        .collect();
    for event in lines.chunks(2) {
        let body: serde_json::Value = serde_json::from_str(&event[1]).expect("a body of JSON");
        let id = body["id"].as_str().expect("an id");
        assert_eq!(event[0], format!("POST /hook {id}:"));
        assert_eq!(body["source"], "/shop");
    }
    let bodies = lines.join("\n");
    assert!(bodies.contains(r#""changed":["status"]"#), "{bodies}");
    assert!(!bodies.contains("never"), "{bodies}");
}
