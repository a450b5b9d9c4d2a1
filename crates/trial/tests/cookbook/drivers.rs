//! The recipes for drivers, run with the drivers themselves.

use std::path::Path;
use std::process::Command;

use crate::common::document;
use crate::common::process::python_with;
use crate::recipe::Recipe;
use crate::{CLUSTER, COOKBOOK};

/// The payment in the recipes, which is also the id of its event.
const PAYMENT: &str = "0e5e1f0a-7f3c-4a53-9d52-6a4f7a4cf1d3";

pub fn emits_once(blocks: &[&str]) {
    let mut recipe = Recipe::new(blocks[0]);
    recipe.run("change.sql");
    recipe.subscribe_to_all();
    for _ in 0..2 {
        assert_eq!(run(blocks[0], &recipe.db.name), PAYMENT);
    }
    let types = recipe.types();
    let emitted = types.iter().filter(|name| *name == "order.paid");
    assert_eq!(emitted.count(), 1, "{types:?}");
    let requests = recipe.receiver.requests();
    let events = requests.iter().map(|request| request.json());
    let paid = events
        .filter(|event| event["type"] == "order.paid")
        .collect::<Vec<_>>();
    assert_eq!(paid[0]["id"], PAYMENT);
    assert_eq!(paid[0]["subject"], "A-1001");
    assert_eq!(paid[0]["time"], "2026-01-02T03:04:05Z");
    assert_eq!(
        paid[0]["data"],
        serde_json::json!({"order": "A-1001", "items": [1, 2]})
    );
}

/// Returns what the program of a block prints.
#[track_caller]
fn run(block: &str, database: &str) -> String {
    let folder = tempfile::tempdir().expect("a directory");
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/node_modules");
    std::os::unix::fs::symlink(packages, folder.path().join("node_modules")).expect("a link");
    let path = folder.path().join(block);
    std::fs::write(&path, document::block(COOKBOOK, "run", block)).expect("it is written");
    let program = if block.ends_with(".py") {
        python_with("psycopg, psycopg2, sqlalchemy")
    } else {
        "node"
    };
    let output = Command::new(program)
        .arg(path)
        .envs(CLUSTER.client_environment(database))
        .output()
        .unwrap_or_else(|error| panic!("{program} does not start, run cargo xtask setup: {error}"));
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{block}: {fault}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
