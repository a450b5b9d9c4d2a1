//! `cargo xtask torture`: installs the extension with failpoints into its own PostgreSQL, and becomes the torture.

use std::os::unix::process::CommandExt;

use crate::Result;
use crate::debian::DEBIAN_MAJOR;
use crate::sandbox;
use crate::setup;
use crate::shell::{cargo, run as run_command, say};

const FOR_RELEASE: &str = "--release";

/// Returns only on failure: this process becomes the torture, so that the exit status is the torture's.
pub fn run(options: &[String], is_optimised: bool) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let pg_config = sandbox::provide("torture")?;
    let profile = is_optimised.then_some(FOR_RELEASE);
    say("Installing the extension, with failpoints, beside the machine's PostgreSQL");
    let mut install = cargo("pgrx install --features failpoints --pg-config");
    run_command(install.arg(&pg_config).args(profile))?;
    say("Building the torture");
    run_command(cargo("build --package herald-trial --bins").args(profile))?;
    say("Torture");
    let failure = cargo("run --quiet --package herald-trial --bin herald-torture")
        .args(profile)
        .arg("--")
        .args(options)
        .env("HERALD_PG_CONFIG", &pg_config)
        .exec();
    Err(format!("cannot run the torture: {failure}").into())
}
