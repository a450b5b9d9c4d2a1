//! Where mutants are tried: a copy of the source, with its own target folder and PostgreSQL.
//!
//! Neither the working tree nor the machine's PostgreSQL changes. Everything is kept for the next run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::mutant::Test;
use crate::debian::DEBIAN_MAJOR;
use crate::shell::{self, output};
use crate::test::TestDataDir;
use crate::{Result, place, sandbox};

/// A test that runs longer hangs. The tests' own deadlines are much shorter, but tests inside PostgreSQL first compile
/// the extension.
const LIMIT: &str = "timeout --foreground --kill-after=10 900";

/// Test servers of other checkouts use cargo-pgrx's own ports.
const TESTING_PORT: u16 = 38_200;

pub struct Bench {
    dir: PathBuf,
    tree: PathBuf,
    pg_config: PathBuf,
    /// The variable in which cargo looks for the runner of its tests.
    runner: String,
}

impl Bench {
    pub fn prepare() -> Result<Self> {
        let dir = place::target_dir()?.join("mutants");
        let bench = Self {
            tree: dir.join("tree"),
            pg_config: sandbox::provide("mutants")?,
            runner: runner_variable()?,
            dir,
        };
        for part in ["tree", "log", "pgrx"] {
            fs::create_dir_all(bench.dir.join(part))?;
        }
        let config = format!(
            "base_testing_port = {TESTING_PORT}\n[configs]\npg{DEBIAN_MAJOR} = {:?}\n",
            bench.pg_config
        );
        fs::write(bench.dir.join("pgrx/config.toml"), config)?;
        bench.copy_source()?;
        Ok(bench)
    }

    /// Runs one test and returns everything it printed. The caller judges failures.
    pub fn run(&self, test: Test, log: &str) -> Result<String> {
        let log = self.log(log);
        fs::write(&log, "")?;
        // Without the new extension, the test would examine the previous one.
        if !matches!(test, Test::EndToEnd(_)) || self.install(&log)? {
            let (place, name) = test.place_and_name();
            match test {
                Test::InDatabase(_) => self.run_in_database(name, &log)?,
                Test::Unit(_) => self.run_logged(&cargo_test(place, &["--lib"], name), &log)?,
                Test::Integration(_) => {
                    self.run_logged(&cargo_test(place, &["--test", "it"], name), &log)?
                }
                Test::Simulation => self.run_logged(&schedules(name), &log)?,
                Test::EndToEnd(_) => {
                    self.run_logged(&cargo_test("herald-trial", &["--test", place], name), &log)?
                }
            };
        }
        Ok(String::from_utf8_lossy(&fs::read(&log)?).into_owned())
    }

    /// Changes a file of the copy until the returned value is dropped.
    pub fn change(
        &self,
        file: &str,
        change: impl FnOnce(&str) -> Result<String>,
    ) -> Result<Changed> {
        let path = self.tree.join(file);
        let original = fs::read_to_string(&path)?;
        fs::write(&path, change(&original)?)?;
        Ok(Changed { path, original })
    }

    /// Returns where the output of a run is kept.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    fn install(&self, log: &Path) -> Result<bool> {
        let pg_config = self.pg_config.display().to_string();
        self.run_logged(&["pgrx", "install", "--pg-config", &pg_config], log)
    }

    fn run_in_database(&self, name: &str, log: &Path) -> Result<bool> {
        let data = TestDataDir::create()?;
        let major = format!("pg{DEBIAN_MAJOR}");
        let data_dir = data.path().display().to_string();
        self.run_logged(
            &[
                "pgrx", "test", &major, name, "--runas", "postgres", "--pgdata", &data_dir,
            ],
            log,
        )
    }

    /// Runs cargo, and returns whether it succeeded.
    fn run_logged(&self, arguments: &[&str], log: &Path) -> Result<bool> {
        let log = fs::File::options().append(true).open(log)?;
        let mut command = self.cargo(arguments);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command.status()?.success())
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = shell::command("cargo", arguments);
        command
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", self.dir.join("build"))
            .env("CARGO_TERM_COLOR", "never")
            .env("PGRX_HOME", self.dir.join("pgrx"))
            .env("HERALD_PG_CONFIG", &self.pg_config)
            .env(&self.runner, LIMIT)
            .env_remove("RUST_BACKTRACE");
        command
    }

    /// Brings the copy up to date with the working tree, including uncommitted changes. Unchanged files stay untouched,
    /// as cargo goes by modification times.
    fn copy_source(&self) -> Result<()> {
        let wanted = source_files(&shell::root())?;
        for file in &wanted {
            let (from, to) = (shell::root().join(file), self.tree.join(file));
            let content = fs::read(&from)?;
            if fs::read(&to).is_ok_and(|copied| copied == content) {
                continue;
            }
            fs::create_dir_all(to.parent().expect("a file lies in the tree"))?;
            // Unlike a write, this also copies the permissions.
            fs::copy(&from, &to)?;
        }
        remove_others(&self.tree, Path::new(""), &wanted)
    }
}

/// A file whose text is restored on drop.
pub struct Changed {
    path: PathBuf,
    original: String,
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.original) {
            eprintln!("error: {} stays changed: {error}", self.path.display());
        }
    }
}

fn cargo_test<'a>(package: &'a str, target: &[&'a str], name: &'a str) -> Vec<&'a str> {
    [
        &["test", "--package", package],
        target,
        &[name, "--", "--exact"],
    ]
    .concat()
}

fn schedules(name: &str) -> Vec<&str> {
    let optimised = ["test", "--profile", "simulation"];
    let chosen = ["--package", "herald-simulation", "--test", "promises", name];
    [&optimised[..], &chosen, &["--", "--exact", "--ignored"]].concat()
}

/// Lists the files that git knows or would add, in any state, relative to the root.
fn source_files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let listed = output(&mut shell::command(
        "git",
        &[
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
    ))?;
    let files = listed.split('\0').filter(|file| !file.is_empty());
    Ok(files
        .map(PathBuf::from)
        .filter(|file| root.join(file).is_file())
        .collect())
}

fn remove_others(tree: &Path, dir: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(tree.join(dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            remove_others(tree, &path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn runner_variable() -> Result<String> {
    let version = output(&mut shell::command("rustc", &["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say what it compiles for")?;
    let host = host.to_uppercase().replace(['-', '.'], "_");
    Ok(format!("CARGO_TARGET_{host}_RUNNER"))
}
