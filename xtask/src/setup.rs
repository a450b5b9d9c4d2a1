//! `cargo xtask setup`: installs whatever is missing for building and testing.
//!
//! If nothing is missing, it changes nothing.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::debian::{self, DEBIAN_MAJOR};
use crate::shell::{am_root, command, is_on_path, output, run as run_command, say};
use crate::{Result, sandbox, servers};

/// The majors that the extension supports.
pub const MAJORS: [u32; 4] = [15, 16, 17, 18];

/// Must match the extension's dependency on pgrx.
const CARGO_PGRX: &str = "0.18.1";

const PACKAGES: [&str; 13] = [
    "ca-certificates",
    "clang",
    "gcc",
    "libc6-dev",
    "libclang-dev",
    "libssl-dev",
    "make",
    "mount",
    "pkg-config",
    "postgresql-15",
    "postgresql-server-dev-15",
    "sudo",
    "util-linux",
];

pub fn run(majors: &[u32]) -> Result<()> {
    install_packages()?;
    install_cargo_pgrx()?;
    for &major in majors {
        let pg_config = match major {
            DEBIAN_MAJOR if am_root() => debian::pg_config(),
            // `cargo pgrx test` copies the extension to where only root may write, unless we own the server.
            DEBIAN_MAJOR => sandbox::provide("test")?,
            other => servers::provide(other)?,
        };
        register(major, &pg_config)?;
    }
    Ok(())
}

/// Third-party programs of the end-to-end tests, for Python and Node: drivers, and readers of our requests.
const PYTHON_MODULES: &str = "import cryptography, psycopg, psycopg2, sqlalchemy";
const PYTHON_PACKAGES: [&str; 5] = [
    "python3",
    "python3-cryptography",
    "python3-psycopg",
    "python3-psycopg2",
    "python3-sqlalchemy",
];
const NPM_PACKAGES: [&str; 3] = ["cloudevents", "pg", "standardwebhooks"];

pub fn install_verifiers() -> Result<()> {
    // The tests, too, use the first Python that has the modules.
    let has_modules = |python| output(&mut command(python, &["-c", PYTHON_MODULES])).is_ok();
    if !["python3", "/usr/bin/python3"].into_iter().any(has_modules) {
        debian::install(&PYTHON_PACKAGES)?;
    }
    if !is_on_path("npm") || !is_on_path("node") {
        debian::install(&["nodejs", "npm"])?;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/trial/verify");
    let is_installed = |name: &&str| folder.join("node_modules").join(name).exists();
    if NPM_PACKAGES.iter().all(is_installed) {
        return Ok(());
    }
    say(&format!(
        "Installing the npm packages {}",
        NPM_PACKAGES.join(", ")
    ));
    let mut install = command(
        "npm",
        &[
            "install",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--loglevel",
            "error",
        ],
    );
    run_command(install.current_dir(folder))
}

fn install_packages() -> Result<()> {
    if !is_on_path("dpkg-query") {
        say(&format!(
            "This is no Debian: please see to it that there is what Debian calls {}",
            PACKAGES.join(", ")
        ));
        return Ok(());
    }
    // Fails if it does not know one of the names, but still lists the others.
    let mut query = command(
        "dpkg-query",
        &["--show", "--showformat=${db:Status-Status} ${Package}\\n"],
    );
    let listed = query.args(PACKAGES).output()?.stdout;
    let missing = missing_packages(&String::from_utf8_lossy(&listed));
    if missing.is_empty() {
        Ok(())
    } else {
        debian::install(&missing)
    }
}

fn missing_packages(listed: &str) -> Vec<&'static str> {
    let is_installed = |package: &str| {
        listed
            .lines()
            .any(|line| line.strip_prefix("installed ") == Some(package))
    };
    PACKAGES
        .into_iter()
        .filter(|package| !is_installed(package))
        .collect()
}

fn install_cargo_pgrx() -> Result<()> {
    let installed = output(&mut command("cargo", &["pgrx", "--version"])).unwrap_or_default();
    if installed.split_whitespace().nth(1) == Some(CARGO_PGRX) {
        return Ok(());
    }
    say(&format!(
        "Installing cargo-pgrx {CARGO_PGRX}, once: this takes five to ten minutes"
    ));
    run_command(&mut command(
        "cargo",
        &["install", "cargo-pgrx", "--version", CARGO_PGRX, "--locked"],
    ))
}

/// Tells cargo-pgrx where the headers of a major are; its entries for other majors stay.
fn register(major: u32, pg_config: &Path) -> Result<()> {
    let config = fs::read_to_string(pgrx_home()?.join("config.toml")).unwrap_or_default();
    if registered_pg_config(&config, major).is_some_and(|known| is_usable(&known, major, pg_config))
    {
        return Ok(());
    }
    say(&format!("Telling cargo-pgrx about PostgreSQL {major}"));
    run_command(&mut command(
        "cargo",
        &[
            "pgrx",
            "init",
            &format!("--pg{major}={}", pg_config.display()),
        ],
    ))
}

/// Whether the registered installation will do: any PostgreSQL 15 to which the extension can be copied. A downloaded
/// server must be ours, as tests install into it.
fn is_usable(known: &Path, major: u32, pg_config: &Path) -> bool {
    known == pg_config || (major == DEBIAN_MAJOR && is_writable_installation(known))
}

fn is_writable_installation(pg_config: &Path) -> bool {
    let pg_config = pg_config.display().to_string();
    output(&mut command(&pg_config, &["--pkglibdir"]))
        .is_ok_and(|dir| output(&mut command("test", &["-w", dir.trim()])).is_ok())
}

fn registered_pg_config(config: &str, major: u32) -> Option<PathBuf> {
    let name = format!("pg{major}");
    let value = config.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name).then_some(value)
    });
    Some(value?.trim().trim_matches('"').into())
}

fn pgrx_home() -> Result<PathBuf> {
    match (env::var_os("PGRX_HOME"), env::home_dir()) {
        (Some(home), _) => Ok(home.into()),
        (None, Some(home)) => Ok(home.join(".pgrx")),
        (None, None) => Err("there is no home directory; set HOME".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_that_are_fully_installed_count() {
        let listed: String = PACKAGES
            .map(|package| format!("installed {package}\n"))
            .concat();
        assert!(missing_packages(&listed).is_empty());
        let removed = listed
            .replace("installed sudo", "config-files sudo")
            .replace("installed gcc\n", "");
        assert_eq!(missing_packages(&removed), ["gcc", "sudo"]);
    }

    #[test]
    fn the_registered_server_is_found_by_its_major() {
        let config = "base_port = 28800\n[configs]\npg15 = \"/usr/bin/pg_config\"\npg17 = \"/x/pg_config\"\n";
        assert_eq!(
            registered_pg_config(config, 17),
            Some("/x/pg_config".into())
        );
        assert_eq!(registered_pg_config(config, 16), None);
    }
}
