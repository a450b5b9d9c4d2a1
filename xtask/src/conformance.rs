//! `cargo xtask conformance`: plays the public tests of a specification against `herald-core`.

use crate::Result;
use crate::shell::{command, say};

const PLAY: [&str; 7] = [
    "run",
    "--quiet",
    "--package",
    "herald-core",
    "--example",
    "conformance",
    "--",
];

/// Returns false if a test failed, which has then been reported.
pub fn run(options: &[String]) -> Result<bool> {
    say("The conformance tests");
    Ok(command("cargo", &PLAY).args(options).status()?.success())
}
