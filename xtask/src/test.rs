//! `cargo xtask test`: runs every suite, whatever fails on the way, and ends with a table of results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::debian::{self, DEBIAN_MAJOR};
use crate::place;
use crate::servers;
use crate::setup;
use crate::shell::{am_root, as_root, cargo, output, run as run_command, run_watched, say};
use crate::suite::Suite;

/// The major to which the full-size end-to-end tests upgrade.
const UPGRADE_MAJOR: u32 = 18;

/// The result of one suite on one major.
struct Outcome {
    suite: Suite,
    major: Option<u32>,
    counts: Counts,
    fault: Option<String>,
    took: Duration,
}

/// The sum of libtest's own results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: u32,
    failed: u32,
    ignored: u32,
}

/// Returns true if everything passed.
pub fn run(majors: &[u32], only: Option<Suite>, full: bool) -> Result<bool> {
    let wanted = |suite: &Suite| only.is_none_or(|only| only == *suite);
    let on_debian = majors.contains(&DEBIAN_MAJOR);
    let mut outcomes = Vec::new();
    if on_debian && wanted(&Suite::Unit) {
        outcomes.push(measure(Suite::Unit, None, run_unit));
    }
    if only != Some(Suite::Unit) {
        setup::run(majors)?;
    }
    if wanted(&Suite::InDatabase) {
        for &major in majors {
            outcomes.push(measure(Suite::InDatabase, Some(major), |counts| {
                run_in_database(major, counts)
            }));
        }
    }
    if on_debian && wanted(&Suite::EndToEnd) {
        outcomes.push(measure(Suite::EndToEnd, Some(DEBIAN_MAJOR), |counts| {
            run_end_to_end(full, counts)
        }));
    }
    print_summary(&outcomes);
    if outcomes.is_empty() {
        return Err("nothing ran: the unit and e2e suites belong to PostgreSQL 15".into());
    }
    Ok(outcomes.iter().all(|outcome| outcome.fault.is_none()))
}

fn run_unit(counts: &mut Counts) -> Result<()> {
    say("Unit tests");
    let mut tests = cargo(
        "test --no-fail-fast -p herald-core -p herald-dispatch -p herald-sender -p herald-simulation -p herald-bench -p xtask",
    );
    run_counted(&mut tests, counts)
}

fn run_in_database(major: u32, counts: &mut Counts) -> Result<()> {
    say(&format!("Tests inside PostgreSQL {major}"));
    // As root or not, the test server runs as `postgres`, and cargo-pgrx copies the extension with sudo.
    let data = TestDataDir::create()?;
    let mut tests = cargo(&format!("pgrx test pg{major} --runas postgres --pgdata"));
    run_counted(tests.arg(data.path()), counts)
}

fn run_end_to_end(full: bool, counts: &mut Counts) -> Result<()> {
    install(&debian::pg_config(), !am_root())?;
    setup::install_verifiers()?;
    say("End-to-end tests");
    let mut tests = cargo("test --package herald-trial --no-fail-fast");
    if !full {
        return run_counted(&mut tests, counts);
    }
    let newer = servers::provide(UPGRADE_MAJOR)?;
    install(&newer, false)?;
    let figures = figures_path()?;
    tests
        .env(format!("HERALD_PG_CONFIG_{UPGRADE_MAJOR}"), &newer)
        .env("HERALD_TRIAL_SIZE", "full")
        .env("HERALD_FIGURES", &figures);
    let passed = run_counted(&mut tests, counts);
    say(&format!("Figures ({})", figures.display()));
    print!("{}", fs::read_to_string(&figures).unwrap_or_default());
    passed
}

fn install(pg_config: &Path, with_sudo: bool) -> Result<()> {
    say(&format!(
        "Installing the extension ({})",
        pg_config.display()
    ));
    let mut install = cargo("pgrx install --pg-config");
    install.arg(pg_config);
    if with_sudo {
        install.arg("--sudo");
    }
    run_command(&mut install)
}

/// Returns an unused path for the figures of this run.
fn figures_path() -> Result<PathBuf> {
    let path = place::target_dir()?.join("figures.tsv");
    let _ = fs::remove_file(&path);
    Ok(path)
}

fn run_counted(tests: &mut Command, counts: &mut Counts) -> Result<()> {
    run_watched(tests, |line| counts.add(line))
}

fn measure(
    suite: Suite,
    major: Option<u32>,
    run: impl FnOnce(&mut Counts) -> Result<()>,
) -> Outcome {
    let began_at = Instant::now();
    let mut counts = Counts::default();
    let result = run(&mut counts);
    let fault = match result {
        // A suite that lost its tests must not look like one that passed.
        Ok(()) if counts.passed == 0 => Some("no test ran".to_owned()),
        Ok(()) => None,
        Err(error) => Some(error.to_string()),
    };
    if let Some(fault) = &fault {
        eprintln!("error: {fault}");
    }
    Outcome {
        suite,
        major,
        counts,
        fault,
        took: began_at.elapsed(),
    }
}

impl Counts {
    /// Adds a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; ...`.
    fn add(&mut self, line: &str) {
        let Some((_, results)) = line.split_once("test result: ") else {
            return;
        };
        for part in results.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(what)) =
                (words.next().map(str::parse::<u32>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

fn print_summary(outcomes: &[Outcome]) {
    println!(
        "\n{:<12} {:>4} {:>8} {:>8} {:>8} {:>9}  result",
        "suite", "pg", "passed", "failed", "ignored", "time"
    );
    for Outcome {
        suite,
        major,
        counts,
        fault,
        took,
    } in outcomes
    {
        let major = major.map_or_else(|| "-".to_owned(), |major| major.to_string());
        let Counts {
            passed,
            failed,
            ignored,
        } = counts;
        let seconds = took.as_secs_f64();
        let result = fault.as_deref().unwrap_or("ok");
        println!(
            "{suite:<12} {major:>4} {passed:>8} {failed:>8} {ignored:>8} {seconds:>7.1} s  {result}"
        );
    }
}

/// A directory in which the user `postgres` may make test clusters; it is removed after the suite.
pub struct TestDataDir(PathBuf);

impl TestDataDir {
    pub fn create() -> Result<Self> {
        // Short, as socket paths are limited, and reachable for everybody, unlike a home directory.
        let name = format!("/var/tmp/pg_herald-test-{}", std::process::id());
        output(&mut as_root(
            "install",
            &["--directory", "--owner=postgres", "--mode=0755", &name],
        ))?;
        Ok(Self(name.into()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDataDir {
    fn drop(&mut self) {
        if fs::remove_dir_all(&self.0).is_err() {
            let _ = as_root("rm", &["-rf", &self.0.display().to_string()]).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_binaries_add_up() {
        let mut counts = Counts::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.43s",
            "test a_test ... ok",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.60s",
        ] {
            counts.add(line);
        }
        assert_eq!(
            counts,
            Counts {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
    }
}
