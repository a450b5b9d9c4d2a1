//! `cargo xtask hostile`: installs the extension into its own PostgreSQL, and lets everybody do their worst for a
//! while.

use crate::Result;
use crate::debian::DEBIAN_MAJOR;
use crate::sandbox;
use crate::setup;
use crate::shell::{cargo, run as run_command, say};

const FOR_RELEASE: &str = "--release";

/// How long it plays, and from which seed; by default another seed each time.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub minutes: u64,
    pub seed: Option<u64>,
}

/// Judges the delay of the healthy subscription only if everything is optimised: otherwise the unoptimised worker alone
/// keeps both processors busy.
pub fn run(options: Options, is_optimised: bool) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let pg_config = sandbox::provide("hostile")?;
    say("Installing the extension beside the machine's PostgreSQL");
    let profile = is_optimised.then_some(FOR_RELEASE);
    let mut install = cargo("pgrx install --pg-config");
    run_command(install.arg(&pg_config).args(profile))?;
    say(&format!("Attacks at random, for {} min", options.minutes));
    let mut play = cargo("test --package herald-trial --test hostile");
    play.args(profile)
        .args(["--", "--nocapture"])
        .env("HERALD_PG_CONFIG", &pg_config)
        .env("HERALD_HOSTILE_MINUTES", options.minutes.to_string());
    if is_optimised {
        play.env("HERALD_HOSTILE_JUDGE", "1");
    }
    if let Some(seed) = options.seed {
        play.env("HERALD_HOSTILE_SEED", seed.to_string());
    }
    run_command(&mut play)
}
