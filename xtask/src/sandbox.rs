//! A PostgreSQL installation of our own: a copy of Debian's, which finds its files relative to its programs.
//!
//! What is meant to break the extension is installed there, so the machine's PostgreSQL never sees it. A copy is made
//! once and serves until Debian's PostgreSQL is of another version.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::place;
use crate::setup::{self, DEBIAN_MAJOR};
use crate::shell::{command, output, say};

/// What makes up an installation, below /usr there and below the prefix here.
fn parts() -> [String; 3] {
    [
        format!("lib/postgresql/{DEBIAN_MAJOR}"),
        format!("share/postgresql/{DEBIAN_MAJOR}"),
        "include/postgresql".to_owned(),
    ]
}

/// The pg_config of the installation of this name. Nobody else uses that, so each purpose takes a name of its own.
pub fn provide(name: &str) -> Result<PathBuf> {
    let prefix = place::reachable_dir("sandbox")?.join(name);
    let pg_config = pg_config_below(&prefix);
    let wanted = version(&setup::debian_pg_config())?;
    if version(&pg_config).is_ok_and(|version| version == wanted) {
        return Ok(pg_config);
    }
    say(&format!(
        "Copying PostgreSQL {DEBIAN_MAJOR} to {}",
        prefix.display()
    ));
    copy(&prefix)?;
    // A build that is not relocatable would answer with the paths of the original, and be written to.
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

/// Made beside its place and moved there when it is whole.
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
