//! Where the commands keep what they make: under `target`, or where the user `postgres` could not reach that, under
//! /var/tmp.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::Result;
use crate::shell::root;

/// Cargo's target folder, made if need be.
pub fn target_dir() -> Result<PathBuf> {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    fs::create_dir_all(&target)?;
    Ok(target.canonicalize()?)
}

/// A folder of ours for servers, which run as the user `postgres` when we are root: anybody may enter it.
pub fn reachable_dir(name: &str) -> Result<PathBuf> {
    let target = target_dir()?;
    let dir = if target.ancestors().all(anybody_may_enter) {
        target.join(name)
    } else {
        PathBuf::from(format!("/var/tmp/pg_herald-{name}-{}", my_id(&target)?))
    };
    if !dir.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&dir)?;
    }
    // In /var/tmp anybody could have been first.
    let metadata = fs::symlink_metadata(&dir)?;
    if metadata.is_dir() && metadata.uid() == my_id(&target)? {
        return Ok(dir);
    }
    Err(format!("{} is not ours: remove it", dir.display()).into())
}

fn anybody_may_enter(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
}

/// Our user id, as the owner of a file that we make.
fn my_id(dir: &Path) -> Result<u32> {
    let probe = dir.join(".xtask-owner");
    let owner = fs::File::create(&probe)?.metadata()?.uid();
    fs::remove_file(&probe)?;
    Ok(owner)
}
