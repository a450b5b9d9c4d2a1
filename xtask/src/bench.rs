//! `cargo xtask bench`: installs the extension, built for release, into its own PostgreSQL, and becomes the benchmarks.

use std::os::unix::process::CommandExt;

use crate::Result;
use crate::debian::DEBIAN_MAJOR;
use crate::sandbox;
use crate::setup;
use crate::shell::{command, run as run_command, say};

const BUILD: [&str; 4] = ["build", "--release", "--package", "herald-bench"];

const BENCH: [&str; 6] = [
    "run",
    "--quiet",
    "--release",
    "--package",
    "herald-bench",
    "--",
];

/// Returns only on failure: this process becomes the benchmarks.
pub fn run(options: &[String]) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let pg_config = sandbox::provide("bench")?;
    say("Installing the extension, built for release, beside the machine's PostgreSQL");
    let mut install = command("cargo", &["pgrx", "install", "--release", "--pg-config"]);
    run_command(install.arg(&pg_config))?;
    say("Building the benchmarks");
    run_command(&mut command("cargo", &BUILD))?;
    say("Benchmarks");
    let failure = command("cargo", &BENCH)
        .args(options)
        .env("HERALD_PG_CONFIG", &pg_config)
        .exec();
    Err(format!("cannot run the benchmarks: {failure}").into())
}
