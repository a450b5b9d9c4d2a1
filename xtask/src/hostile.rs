//! `cargo xtask hostile`: installs the extension where nobody else uses it, and lets everybody do their worst for a while.

use crate::Result;
use crate::sandbox;
use crate::setup::{self, DEBIAN_MAJOR};
use crate::shell::{command, run as run_command, say};

/// Built as for the tests: what it looks for is no matter of speed.
const PLAY: [&str; 7] = [
    "test",
    "--package",
    "herald-trial",
    "--test",
    "hostile",
    "--",
    "--nocapture",
];

/// How long it plays, and from which seed; another one each time unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub minutes: u64,
    pub seed: Option<u64>,
}

pub fn run(options: Options) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let pg_config = sandbox::provide("hostile")?;
    say("Installing the extension beside the machine's PostgreSQL");
    run_command(command("cargo", &["pgrx", "install", "--pg-config"]).arg(&pg_config))?;
    say(&format!("Attacks at random, for {} min", options.minutes));
    let mut play = command("cargo", &PLAY);
    play.env("HERALD_PG_CONFIG", &pg_config)
        .env("HERALD_HOSTILE_MINUTES", options.minutes.to_string());
    if let Some(seed) = options.seed {
        play.env("HERALD_HOSTILE_SEED", seed.to_string());
    }
    run_command(&mut play)
}
