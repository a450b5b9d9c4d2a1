//! `cargo xtask torture`: installs the extension with its failpoints where nobody else uses it, and becomes the torture.

use std::os::unix::process::CommandExt;

use crate::Result;
use crate::sandbox;
use crate::setup::{self, DEBIAN_MAJOR};
use crate::shell::{command, run as run_command, say};

const BUILD: [&str; 5] = ["build", "--release", "--package", "herald-trial", "--bins"];

const TORTURE: [&str; 8] = [
    "run",
    "--quiet",
    "--release",
    "--package",
    "herald-trial",
    "--bin",
    "herald-torture",
    "--",
];

/// Returns only when something failed: this process becomes the torture, so that the exit status is its own.
pub fn run(options: &[String]) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let pg_config = sandbox::provide("torture")?;
    say("Installing the extension, with failpoints, beside the machine's PostgreSQL");
    let mut install = command(
        "cargo",
        &[
            "pgrx",
            "install",
            "--release",
            "--features",
            "failpoints",
            "--pg-config",
        ],
    );
    run_command(install.arg(&pg_config))?;
    say("Building the torture");
    run_command(&mut command("cargo", &BUILD))?;
    say("Torture");
    let failure = command("cargo", &TORTURE)
        .args(options)
        .env("HERALD_PG_CONFIG", &pg_config)
        .exec();
    Err(format!("cannot run the torture: {failure}").into())
}
