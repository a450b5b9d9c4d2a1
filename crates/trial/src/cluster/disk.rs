//! A small disk to fill up: a file system in memory, which only root can mount.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::User;
use tempfile::TempDir;

use crate::error::{Error, Result};

/// `$1` is the directory, `$2` the size in MB. The pipe closes however our process ends.
const SCRIPT: &str = r#"
mount -t tmpfs -o "size=$2m,mode=0700" tmpfs "$1" && echo mounted
read -r _
umount -l "$1"
rmdir "$1"
"#;

/// Unmounted and removed when dropped, or when this process has ended.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
    mounter: Child,
}

impl SmallDisk {
    /// Mounts the disk. Fails where the system does not let us mount.
    pub(super) fn mount(megabytes: u32, owner: Option<&User>) -> Result<Self> {
        let dir = TempDir::with_prefix("herald-trial-disk-")
            .map_err(Error::io("making a directory for a disk"))?
            .keep();
        let mut mounter = Command::new("sh")
            .args(["-c", SCRIPT, "herald-trial-disk"])
            .arg(&dir)
            .arg(megabytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("starting the mounter"))?;
        let mut said = String::new();
        if let Some(stdout) = mounter.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut said);
        }
        let disk = Self { dir, mounter };
        if said.trim() != "mounted" {
            return Err(Error::Setup("a file system cannot be mounted".to_owned()));
        }
        if let Some(user) = owner {
            chown(&disk.dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .map_err(Error::io("giving the disk to the server's user"))?;
        }
        Ok(disk)
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Takes all remaining space.
    pub fn fill(&self) -> Result<()> {
        let write = || -> io::Result<()> {
            let mut file = File::options()
                .create(true)
                .append(true)
                .open(self.ballast())?;
            let page = [0; 4096];
            loop {
                match file.write_all(&page) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        write().map_err(Error::io("filling the disk"))
    }

    /// Frees what [`SmallDisk::fill`] took.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.ballast()).map_err(Error::io("freeing the disk"))
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.mounter.stdin.take());
        let _ = self.mounter.wait();
    }
}
