//! The project's commands: `cargo xtask setup`, `test`, `demo`, `torture`, `hostile`, `simulate`, `bench`,
//! `mutants`, `fuzz`, `conformance`.
//!
//! They work on a fresh Debian 12 with a Rust toolchain, as root or as a user with sudo: each prepares what it needs,
//! says what it does, and does nothing twice. They compile in seconds, as they handle only arguments, files and other
//! programs.

#![forbid(unsafe_code)]

mod bench;
#[cfg(test)]
mod circles;
mod conformance;
mod debian;
mod demo;
#[cfg(test)]
mod fences;
mod fuzz;
mod hostile;
mod mutants;
mod place;
mod sandbox;
mod servers;
mod setup;
mod shell;
mod simulate;
mod suite;
mod test;
mod torture;

use std::process::ExitCode;

use lexopt::prelude::*;

use crate::suite::Suite;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const USAGE: &str = "\
The commands of pg_herald. Each prepares what it needs.

  cargo xtask setup [--pg MAJORS]
      Installs what building and testing take: Debian's PostgreSQL 15 with headers, clang, cargo-pgrx.

  cargo xtask test [--pg MAJORS] [--only unit|in-database|e2e] [--full]
      Runs the tests: those of the pure crates, those inside PostgreSQL, and those from outside with real
      servers and receivers. On other majors than 15 only the tests inside PostgreSQL run.
      --full runs those from outside at the size of the published figures, which it prints; that takes hours.
      It downloads PostgreSQL 18, to which one of them upgrades.

  cargo xtask demo [--seconds N] [--rate N] [--keep] [--break drop-one]
      Sends pgbench's changes and an application's events to three receivers, of which two make trouble, and ends
      with an account of what was committed and what arrived; it fails when that does not add up.
      --keep leaves everything running to look around; --break has a receiver forget one receipt.

  cargo xtask torture [--rounds N] [--seed N] [--victims A,B] [--rate N] [--resume FILE] [--dev]
      Crashes the server and the worker under load, in every way and at random moments, and compares what was
      committed with what a receiver of its own got, after each. It fails when anything was lost or invented.
      --dev leaves out the optimisation: built soon, slower to run.

  cargo xtask hostile [--minutes N] [--seed N] [--dev]
      Lets roles, tenants, an operator and sick receivers attack at random beside a healthy subscription, for ten
      minutes without --minutes: in a crowd for half of it, and in turn. It fails when a process died, when anything
      was lost, when somebody got what is not theirs, or when the healthy subscription was served more than twice as
      late beside attacks in turn as alone (p99, each less what a relay that has nothing to do with pg_herald was
      slower then).
      --dev leaves out the optimisation and that last judgement.

  cargo xtask simulate [--seconds N | --schedules N] [--seed N] [--trace]
      Plays schedules of crashes, troubles and users at work against the worker's decisions, in virtual time: 10,000
      without an option, from a random seed on. The first one that fails is told, with what it does not need left out.
      --seed N alone plays that one, and --trace tells its story line by line.

  cargo xtask bench [--quick] [--only A,B] [--json FILE] [--plots DIR]
      Measures what is delivered, how soon, and what that costs, beside what it is compared with. --quick is a look
      in minutes; all of it takes hours.

  cargo xtask mutants [--only NAME] [--list]
      Breaks one promise after the other in a copy of the source, and fails unless the test of each notices.
      It works below the target folder, with a PostgreSQL of its own. --only may be given more than once.

  cargo xtask fuzz [--seconds N] [--only TARGET]
      Looks for inputs that break what is said of parsers and of what receivers answer, for so many seconds in all,
      60 without it. --only may be given more than once.

  cargo xtask conformance --cesql DIR | --patterns DIR
      Plays the conformance tests of CloudEvents SQL, the YAML files of the specification's folder cesql/cesql_tck, or
      pairs of event patterns and events, JSON files of {\"rule\": {...}, \"event\": {...}, \"matched\": true}, and names
      each that fails.

MAJORS is a list such as 15 or 16,17,18; without it, 15. Servers for 16, 17 and 18 are downloaded.
";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns false if tests failed, which they have then reported.
fn run() -> Result<bool> {
    let options = Options::parse(lexopt::Parser::from_env())?;
    match options.command.as_deref() {
        Some("setup") => {
            setup::run(&options.majors)?;
            println!("Everything is in place.");
            Ok(true)
        }
        Some("test") => test::run(&options.majors, options.only, options.full),
        Some("demo") => demo::run(&options.handed_on).map(|()| true),
        Some("torture") => torture::run(&options.handed_on, !options.dev).map(|()| true),
        Some("hostile") => hostile::run(options.hostile, !options.dev).map(|()| true),
        Some("simulate") => simulate::run(&options.handed_on),
        Some("bench") => bench::run(&options.handed_on).map(|()| true),
        Some("mutants") if options.list => {
            mutants::print_all();
            Ok(true)
        }
        Some("mutants") => mutants::run(&options.chosen),
        Some("fuzz") => fuzz::run(options.seconds, &options.chosen).map(|()| true),
        Some("conformance") => conformance::run(&options.handed_on),
        Some("help") => {
            print!("{USAGE}");
            Ok(true)
        }
        Some(unknown) => Err(format!("there is no command `{unknown}`\n\n{USAGE}").into()),
        None => Err(format!("which command?\n\n{USAGE}").into()),
    }
}

#[derive(Debug)]
struct Options {
    command: Option<String>,
    majors: Vec<u32>,
    only: Option<Suite>,
    full: bool,
    dev: bool,
    /// Passed on to the demo, the torture, the simulation, the benchmarks or the conformance tests, which interpret
    /// them.
    handed_on: Vec<String>,
    /// The mutants to try, or the targets to fuzz; empty for all.
    chosen: Vec<String>,
    /// How long to fuzz.
    seconds: u64,
    hostile: hostile::Options,
    list: bool,
}

impl Options {
    fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        let mut options = Self {
            command: None,
            majors: vec![debian::DEBIAN_MAJOR],
            only: None,
            full: false,
            dev: false,
            handed_on: Vec::new(),
            chosen: Vec::new(),
            seconds: 60,
            hostile: hostile::Options {
                minutes: 10,
                seed: None,
            },
            list: false,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') => options.command = Some("help".to_owned()),
                Long(name) => {
                    let name = name.to_owned();
                    options.take(&name, &mut arguments)?;
                }
                Value(command) if options.command.is_none() => {
                    options.command = Some(command.string()?)
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    /// Takes an option with this name, and its value from `arguments`.
    fn take(&mut self, name: &str, arguments: &mut lexopt::Parser) -> Result<()> {
        let command = self.command.as_deref().unwrap_or_default();
        if let Some(has_value) = has_value_if_handed_on(command, name) {
            self.handed_on.push(format!("--{name}"));
            if has_value {
                self.handed_on.push(arguments.value()?.string()?);
            }
            return Ok(());
        }
        match (command, name) {
            (_, "help") => self.command = Some("help".to_owned()),
            (command, "pg") => {
                check_takes_majors(command)?;
                self.majors = parse_majors(&arguments.value()?.string()?)?;
            }
            ("test", "only") => self.only = Some(arguments.value()?.parse()?),
            ("test", "full") => self.full = true,
            ("torture" | "hostile", "dev") => self.dev = true,
            ("hostile", "minutes") => self.hostile.minutes = arguments.value()?.parse()?,
            ("hostile", "seed") => self.hostile.seed = Some(arguments.value()?.parse()?),
            ("mutants" | "fuzz", "only") => self.chosen.push(arguments.value()?.string()?),
            ("mutants", "list") => self.list = true,
            ("fuzz", "seconds") => self.seconds = arguments.value()?.parse()?,
            _ => return Err(Long(name).unexpected().into()),
        }
        Ok(())
    }
}

/// Returns whether an option that another program interprets has a value; `None` for other options.
fn has_value_if_handed_on(command: &str, name: &str) -> Option<bool> {
    match (command, name) {
        ("demo", "keep") | ("simulate", "trace") | ("bench", "quick") => Some(false),
        ("demo", "seconds" | "rate" | "break")
        | ("torture", "rounds" | "seed" | "victims" | "rate" | "resume")
        | ("simulate", "seconds" | "schedules" | "seed")
        | ("bench", "only" | "json" | "plots")
        | ("conformance", "cesql" | "patterns") => Some(true),
        _ => None,
    }
}

/// Returns an error if the command has its own PostgreSQL, or none.
fn check_takes_majors(command: &str) -> Result<()> {
    Err(match command {
        "demo" => "the demo runs on PostgreSQL 15",
        "torture" => "the torture runs on PostgreSQL 15",
        "hostile" => "attacks run on PostgreSQL 15",
        "bench" => "the benchmarks run on PostgreSQL 15",
        "mutants" => "mutants are tried on PostgreSQL 15",
        "fuzz" => "fuzzing takes no PostgreSQL",
        "simulate" => "the simulation takes no PostgreSQL",
        "conformance" => "the conformance tests take no PostgreSQL",
        _ => return Ok(()),
    }
    .into())
}

fn parse_majors(list: &str) -> Result<Vec<u32>> {
    let majors = list.split(',').map(|major| match major.trim().parse() {
        Ok(major) if setup::MAJORS.contains(&major) => Ok(major),
        _ => Err(format!("--pg takes majors from {:?}, not `{major}`", setup::MAJORS).into()),
    });
    majors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn options_are_read_in_any_form() {
        let options = parse("test --pg=16,18 --only e2e").unwrap();
        assert_eq!(
            (options.majors, options.only),
            (vec![16, 18], Some(Suite::EndToEnd))
        );
        assert_eq!(parse("setup").unwrap().majors, [15]);
        assert_eq!(
            parse("demo --keep --break=drop-one --seconds 5")
                .unwrap()
                .handed_on,
            ["--keep", "--break", "drop-one", "--seconds", "5"]
        );
        assert!(parse("torture --dev --rounds 1").unwrap().dev);
        let hostile = parse("hostile --minutes 60 --seed=7").unwrap().hostile;
        assert_eq!((hostile.minutes, hostile.seed), (60, Some(7)));
        assert_eq!(parse("hostile").unwrap().hostile.minutes, 10);
        assert!(parse("hostile --dev").unwrap().dev);
        let options = parse("mutants --only a --only=b").unwrap();
        assert_eq!((options.chosen.len(), options.list), (2, false));
        assert_eq!(
            parse("simulate --seed=7 --trace").unwrap().handed_on,
            ["--seed", "7", "--trace"]
        );
        assert!(parse("mutants --list").unwrap().list);
        assert!(parse("test --only e2e --full").unwrap().full);
        assert_eq!(
            parse("bench --quick --only drain,cost").unwrap().handed_on,
            ["--quick", "--only", "drain,cost"]
        );
        assert_eq!(
            parse("conformance --cesql=tck").unwrap().handed_on,
            ["--cesql", "tck"]
        );
        assert_eq!(
            parse("conformance --patterns pairs").unwrap().handed_on,
            ["--patterns", "pairs"]
        );
    }

    #[test]
    fn unknown_arguments_are_refused() {
        for line in [
            "test --pg 12",
            "test --only nothing",
            "setup --only unit",
            "test more",
            "test --keep",
            "demo --pg 16",
            "mutants --pg 16",
            "test --list",
            "demo --full",
            "bench --pg 16",
            "torture --quick",
            "torture --minutes 5",
            "hostile --pg 16",
            "bench --dev",
            "simulate --rounds 1",
            "torture --trace",
            "conformance --pg 16",
            "test --cesql tck",
            "--quick",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
