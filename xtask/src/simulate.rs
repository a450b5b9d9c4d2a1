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

/// False when a schedule failed, which it has then said itself.
pub fn run(options: &[String]) -> Result<bool> {
    say("The simulation");
    Ok(command("cargo", &PLAY).args(options).status()?.success())
}
