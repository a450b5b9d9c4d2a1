//! `cargo xtask bench`: installs the extension, built for release, into its own PostgreSQL, and becomes the benchmarks.

use std::os::unix::process::CommandExt;

use crate::Result;
use crate::debian::DEBIAN_MAJOR;
use crate::sandbox;
use crate::setup;
use crate::shell::{cargo, run as run_command, say};

/// Returns only on failure: this process becomes the benchmarks.
pub fn run(options: &[String]) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let pg_config = sandbox::provide("bench")?;
    say("Installing the extension, built for release, beside the machine's PostgreSQL");
    let mut install = cargo("pgrx install --release --pg-config");
    run_command(install.arg(&pg_config))?;
    say("Building the benchmarks");
    run_command(&mut cargo("build --release --package herald-bench"))?;
    say("Benchmarks");
    let failure = cargo("run --quiet --release --package herald-bench --")
        .args(options)
        .env("HERALD_PG_CONFIG", &pg_config)
        .exec();
    Err(format!("cannot run the benchmarks: {failure}").into())
}
