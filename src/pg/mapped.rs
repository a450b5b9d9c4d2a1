//! A file in the data directory, mapped as memory: its content outlives this process and shared memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// Maps a file of `count` words, filled with zeros unless it exists with this size. It stays mapped until the process
/// ends.
pub fn words(path: &Path, count: usize) -> io::Result<&'static [AtomicU64]> {
    let size = count * size_of::<AtomicU64>();
    let file = match open(path) {
        Ok(file) if file.metadata()?.len() == size as u64 => file,
        _ => make(path, size)?,
    };
    // SAFETY: a new mapping of an open file of the requested size; nobody shortens it, as a file of another size is
    // replaced. It is never unmapped, begins at a page, and any bits are an AtomicU64.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let address = libc::mmap(
            std::ptr::null_mut(),
            size,
            protection,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(std::slice::from_raw_parts(address.cast(), count))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Makes the file and writes all of it: a store into a hole of a file on a full disk would kill the process.
fn make(path: &Path, size: usize) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&vec![0; size])?;
    fs::rename(&new, path)?;
    Ok(file)
}
