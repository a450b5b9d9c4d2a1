//! Our own PostgreSQL installation: a copy of Debian's, which finds its files relative to its programs.
//!
//! Extensions that are broken on purpose are installed there, so the machine's PostgreSQL never sees them. A copy is
//! made once and used until Debian's PostgreSQL has another version.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::debian::{self, DEBIAN_MAJOR};
use crate::place;
use crate::shell::{command, output, say};

/// The parts of an installation, below /usr there and below the prefix here.
fn parts() -> [String; 3] {
    [
        format!("lib/postgresql/{DEBIAN_MAJOR}"),
        format!("share/postgresql/{DEBIAN_MAJOR}"),
        "include/postgresql".to_owned(),
    ]
}

/// Returns the pg_config of the installation with this name. Each purpose has its own name, so nobody else uses it.
pub fn provide(name: &str) -> Result<PathBuf> {
    let prefix = place::reachable_dir("sandbox")?.join(name);
    let pg_config = pg_config_below(&prefix);
    let wanted = version(&debian::pg_config())?;
    if version(&pg_config).is_ok_and(|version| version == wanted) {
        return Ok(pg_config);
    }
    say(&format!(
        "Copying PostgreSQL {DEBIAN_MAJOR} to {}",
        prefix.display()
    ));
    copy(&prefix)?;
    // A build that is not relocatable would answer with the original's paths, and be written to.
    let library_dir = output(&mut command(
        &pg_config.display().to_string(),
        &["--pkglibdir"],
    ))?;
    if Path::new(library_dir.trim()).starts_with(&prefix) {
        return Ok(pg_config);
    }
    Err(format!(
        "a copy of this PostgreSQL would install into {}",
        library_dir.trim()
    )
    .into())
}

/// Copies beside `prefix`, and moves the result there once it is complete.
fn copy(prefix: &Path) -> Result<()> {
    let unfinished = prefix.with_extension("copying");
    for dir in [prefix, &unfinished] {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
    }
    for part in parts() {
        let (from, to) = (Path::new("/usr").join(&part), unfinished.join(&part));
        fs::create_dir_all(to.parent().expect("a part lies below the prefix"))?;
        output(command("cp", &["-a"]).arg(&from).arg(&to))?;
    }
    fs::rename(&unfinished, prefix)?;
    Ok(())
}

fn pg_config_below(prefix: &Path) -> PathBuf {
    let [programs, ..] = parts();
    prefix.join(programs).join("bin/pg_config")
}

fn version(pg_config: &Path) -> Result<String> {
    output(&mut command(
        &pg_config.display().to_string(),
        &["--version"],
    ))
}
