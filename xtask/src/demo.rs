//! `cargo xtask demo`: prepares the machine, installs the extension and becomes the demo.
//!
//! Everything is built for release, because the demo ends with figures.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use crate::Result;
use crate::debian::{self, DEBIAN_MAJOR};
use crate::setup;
use crate::shell::{am_root, cargo, run as run_command, say};

/// Names another installation than Debian's PostgreSQL, as in the harness.
const PG_CONFIG: &str = "HERALD_PG_CONFIG";

/// Returns only on failure: this process becomes the demo, so that Ctrl-C and the exit status are the demo's.
pub fn run(options: &[String]) -> Result<()> {
    setup::run(&[DEBIAN_MAJOR])?;
    let pg_config = env::var_os(PG_CONFIG).map_or_else(debian::pg_config, PathBuf::from);
    say("Installing the extension, built for release: the first time this takes some minutes");
    let mut install = cargo("pgrx install --release --pg-config");
    install.arg(&pg_config);
    if !am_root() {
        install.arg("--sudo");
    }
    run_command(&mut install)?;
    say("Building the demo");
    let demo = "--release --package herald-trial --bin herald-demo";
    run_command(&mut cargo(&format!("build {demo}")))?;
    say("Demo");
    let failure = cargo(&format!("run --quiet {demo} --"))
        .args(options)
        .env(PG_CONFIG, &pg_config)
        .exec();
    Err(format!("cannot run the demo: {failure}").into())
}
