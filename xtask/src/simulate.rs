//! `cargo xtask simulate`: builds the simulation, optimised and with all checks, and plays.

use crate::Result;
use crate::shell::{command, say};

const PLAY: [&str; 7] = [
    "run",
    "--quiet",
    "--profile",
    "simulation",
    "--package",
    "herald-simulation",
    "--",
];

/// Returns false if a schedule failed, which the simulation has then reported.
pub fn run(options: &[String]) -> Result<bool> {
    say("The simulation");
    Ok(command("cargo", &PLAY).args(options).status()?.success())
}
