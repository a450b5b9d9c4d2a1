//! `cargo xtask torture`: installs the extension with failpoints into its own PostgreSQL, and becomes the torture.

use std::os::unix::process::CommandExt;

use crate::Result;
use crate::debian::DEBIAN_MAJOR;
use crate::sandbox;
use crate::setup;
use crate::shell::{command, run as run_command, say};

const FOR_RELEASE: &str = "--release";

const INSTALL: [&str; 5] = ["pgrx", "install", "--features", "failpoints", "--pg-config"];

const BUILD: [&str; 4] = ["build", "--package", "herald-trial", "--bins"];

const TORTURE: [&str; 6] = [
    "run",
    "--quiet",
    "--package",
    "herald-trial",
    "--bin",
    "herald-torture",
];

/// Returns only on failure: this process becomes the torture, so that the exit status is the torture's.
pub fn run(options: &[String], is_optimised: bool) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let pg_config = sandbox::provide("torture")?;
    let profile = is_optimised.then_some(FOR_RELEASE);
    say("Installing the extension, with failpoints, beside the machine's PostgreSQL");
    let mut install = command("cargo", &INSTALL);
    run_command(install.arg(&pg_config).args(profile))?;
    say("Building the torture");
    run_command(command("cargo", &BUILD).args(profile))?;
    say("Torture");
    let failure = command("cargo", &TORTURE)
        .args(profile)
        .arg("--")
        .args(options)
        .env("HERALD_PG_CONFIG", &pg_config)
        .exec();
    Err(format!("cannot run the torture: {failure}").into())
}
