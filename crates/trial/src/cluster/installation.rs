//! The PostgreSQL installation under trial: its programs, and the operating system user that runs its server.
//!
//! PostgreSQL refuses to run as root, so for root the server runs as the user `postgres`; otherwise as the current
//! user.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use crate::error::{Error, Result};

const DEBIAN_PG_CONFIG: &str = "/usr/lib/postgresql/15/bin/pg_config";
const INSTALL_HINT: &str = "run `cargo xtask setup`, or name an installation in HERALD_PG_CONFIG";

#[derive(Debug)]
pub(super) struct Installation {
    bin_dir: PathBuf,
    major: u32,
    server_user: Option<User>,
}

impl Installation {
    pub(super) fn find(pg_config: Option<&Path>) -> Result<Self> {
        let pg_config = pg_config.map_or_else(default_pg_config, Path::to_owned);
        let bin_dir = PathBuf::from(output_of(Command::new(&pg_config).arg("--bindir"))?.trim());
        let version = output_of(Command::new(bin_dir.join("postgres")).arg("--version"))?;
        let major = major_of(&version)
            .ok_or_else(|| Error::Setup(format!("cannot read the version in {version:?}")))?;
        Ok(Self {
            bin_dir,
            major,
            server_user: server_user()?,
        })
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }

    /// Returns the user who must own the server's files, unless that is the current user.
    pub(super) fn server_user(&self) -> Option<&User> {
        self.server_user.as_ref()
    }

    /// Returns a program of this installation, to be run as the server's user.
    pub(super) fn server_program(&self, name: &str) -> Command {
        self.as_server_user(&self.bin_dir.join(name))
    }

    /// Returns a [`Self::server_program`] with at most `most` file descriptors per process.
    pub(super) fn server_program_with_descriptors(&self, name: &str, most: u32) -> Command {
        let mut command = self.as_server_user(Path::new("prlimit"));
        command
            .arg(format!("--nofile={most}:{most}"))
            .arg(self.bin_dir.join(name));
        command
    }

    fn as_server_user(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir("/")
            .env_remove("PGDATA")
            // Common on developers' machines; it must make no difference.
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null());
        if let Some(user) = &self.server_user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            command.env("USER", &user.name).env("HOME", &user.dir);
        }
        command
    }

    /// Returns a [`Self::server_program`] in its own mount namespace, where `hosts` and `resolv.conf` of `/etc` come
    /// from `names`. The process id remains that of the command.
    pub(super) fn server_program_with_names(&self, name: &str, names: &Path) -> Result<Command> {
        const SCRIPT: &str = r#"
            for file in hosts resolv.conf; do mount --bind "$1/$file" "/etc/$file" || exit; done
            user=$2 group=$3
            shift 3
            exec setpriv --reuid "$user" --regid "$group" --clear-groups "$@""#;
        let Some(user) = &self.server_user else {
            return Err(Error::Setup(
                "only root can give a server its own names".to_owned(),
            ));
        };
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", SCRIPT, "herald-trial-names"])
            .arg(names)
            .args([user.uid.to_string(), user.gid.to_string()])
            .arg(self.bin_dir.join(name))
            .current_dir("/")
            .env_remove("PGDATA")
            .stdin(Stdio::null());
        Ok(command)
    }

    pub(super) fn run_server_program(
        &self,
        name: &str,
        dir: &Path,
        options: &[&str],
    ) -> Result<String> {
        output_of(self.server_program(name).current_dir(dir).args(options))
    }

    pub(super) fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    pub(super) fn run_client(
        &self,
        name: &str,
        environment: &[(&str, String)],
        options: &[&str],
    ) -> Result<String> {
        let mut command = Command::new(self.bin_dir.join(name));
        output_of(
            command
                .args(options)
                .envs(environment.iter().map(|(name, value)| (name, value))),
        )
    }
}

fn default_pg_config() -> PathBuf {
    match env::var_os("HERALD_PG_CONFIG") {
        Some(path) => path.into(),
        None if Path::new(DEBIAN_PG_CONFIG).exists() => DEBIAN_PG_CONFIG.into(),
        None => "pg_config".into(),
    }
}

fn server_user() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    match User::from_name("postgres") {
        Ok(Some(user)) => Ok(Some(user)),
        _ => Err(Error::Setup(format!(
            "PostgreSQL refuses to run as root and there is no user postgres: {INSTALL_HINT}"
        ))),
    }
}

fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn output_of(command: &mut Command) -> Result<String> {
    let program = PathBuf::from(command.get_program());
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Missing {
                program: program.clone(),
                hint: INSTALL_HINT,
            },
            _ => Error::Io {
                what: format!("running {}", program.display()),
                source: error,
            },
        })?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let program = format!("{} ({})", program.display(), output.status);
    Err(Error::Program {
        program,
        output: printed + &String::from_utf8_lossy(&output.stderr),
    })
}

#[cfg(test)]
mod tests {
    use super::major_of;

    #[test]
    fn the_major_is_read_from_every_form_of_the_version() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("something else"), None);
    }
}
