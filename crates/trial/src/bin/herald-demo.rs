//! The demo: `cargo xtask demo` prepares the extension and runs this.

use std::process::ExitCode;

use herald_trial::demo::keep::Stop;
use herald_trial::demo::{self, Options};
use lexopt::prelude::*;

const USAGE: &str = "\
Usage: herald-demo [options]

  --seconds N       how long pgbench runs, 10 unless given
  --rate N          transactions a second of pgbench, 400 unless given; 0 is as fast as it goes
  --keep            leaves the cluster and the receivers running, with what to try, until Ctrl-C
  --break drop-one  makes one receiver forget one receipt: the account must notice and the command fail
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

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let Some(options) = parse(lexopt::Parser::from_env())? else {
        print!("{USAGE}");
        return Ok(true);
    };
    let stop = Stop::listen()?;
    Ok(demo::run(options, &stop)?)
}

/// Returns none if help was requested.
fn parse(mut arguments: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("seconds") => options.seconds = arguments.value()?.parse_with(parse_seconds)?,
            Long("rate") => options.rate = arguments.value()?.parse()?,
            Long("keep") => options.keep = true,
            Long("break") => options.drop_one = arguments.value()?.parse_with(parse_break)?,
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

fn parse_seconds(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(seconds),
        _ => Err("it takes a whole number from 1 to 3600".to_owned()),
    }
}

fn parse_break(text: &str) -> Result<bool, String> {
    match text {
        "drop-one" => Ok(true),
        _ => Err("the only thing to break is drop-one".to_owned()),
    }
}
