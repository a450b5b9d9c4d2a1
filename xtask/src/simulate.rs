//! `cargo xtask simulate`: builds the simulation, optimised and with all checks, and plays.

use crate::Result;
use crate::shell::{cargo, say};

/// Returns false if a schedule failed, which the simulation has then reported.
pub fn run(options: &[String]) -> Result<bool> {
    say("The simulation");
    let mut play = cargo("run --quiet --profile simulation --package herald-simulation --");
    Ok(play.args(options).status()?.success())
}
