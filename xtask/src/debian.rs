//! Debian 12: its PostgreSQL, and the installation of its packages.

use std::path::PathBuf;

use crate::Result;
use crate::shell::{as_root, run, say};

/// The major that Debian 12 packages; every test runs on it.
pub const DEBIAN_MAJOR: u32 = 15;

/// Returns the pg_config of its PostgreSQL.
pub fn pg_config() -> PathBuf {
    format!("/usr/lib/postgresql/{DEBIAN_MAJOR}/bin/pg_config").into()
}

/// Installs these packages.
pub fn install(packages: &[&str]) -> Result<()> {
    say(&format!(
        "Installing Debian packages: {}",
        packages.join(", ")
    ));
    run(&mut as_root("apt-get", &["update"]))?;
    let install = [
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
    ];
    run(as_root("env", &install).args(packages))
}
