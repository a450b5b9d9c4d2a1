//! The torture: `cargo xtask torture` prepares the extension and runs this.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use herald_trial::torture::victim::Victim;
use herald_trial::torture::{self, Options};
use lexopt::prelude::*;

const USAGE: &str = "\
Usage: herald-torture [options]

  --rounds N       rounds that count, for each victim; 3 unless given
  --seed N         the same seed gives the same loads and moments; printed, random unless given
  --victims A,B    all unless given: worker, backend, checkpointer, postmaster, immediate, fast, power, and the places
                   after_read, after_flush, mid_slice, after_spill, before_record, mid_record, after_record,
                   after_claim, mid_truncation
  --rate N         transactions a second, 200 unless given
  --resume FILE    keeps the results in this file, and goes on from what is in it
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
    Ok(torture::run(&options)?)
}

/// Returns none if help was requested.
fn parse(mut arguments: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        rounds: 3,
        seed: random_seed(),
        victims: Victim::all(),
        rate: 200.0,
        resume: None,
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("rounds") => options.rounds = arguments.value()?.parse()?,
            Long("seed") => options.seed = arguments.value()?.parse()?,
            Long("victims") => options.victims = arguments.value()?.parse_with(parse_victims)?,
            Long("rate") => options.rate = arguments.value()?.parse()?,
            Long("resume") => options.resume = Some(arguments.value()?.into()),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

fn parse_victims(text: &str) -> Result<Vec<Victim>, String> {
    text.split(',').map(str::parse).collect()
}

/// Returns a seed short enough to retype.
fn random_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::from(since.unwrap_or_default().subsec_nanos()) % 1_000_000
}
