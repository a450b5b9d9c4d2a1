//! Where the commands keep their files: under `target`, or under /var/tmp if the user `postgres` cannot reach `target`.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::Result;
use crate::shell::root;

/// Returns cargo's target folder, and creates it if necessary.
pub fn target_dir() -> Result<PathBuf> {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    fs::create_dir_all(&target)?;
    Ok(target.canonicalize()?)
}

/// Returns our folder for servers, which run as the user `postgres` if we are root: anybody may enter it.
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
    // In /var/tmp, somebody else could have created it first.
    let metadata = fs::symlink_metadata(&dir)?;
    if metadata.is_dir() && metadata.uid() == my_id(&target)? {
        return Ok(dir);
    }
    Err(format!("{} is not ours: remove it", dir.display()).into())
}

fn anybody_may_enter(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
}

/// Returns our user id, as the owner of a file that we create.
fn my_id(dir: &Path) -> Result<u32> {
    let probe = dir.join(".xtask-owner");
    let owner = fs::File::create(&probe)?.metadata()?.uid();
    fs::remove_file(&probe)?;
    Ok(owner)
}
