//! `cargo xtask torture`: crashes of every kind at random moments under load, and an account after each.
//!
//! Truth is a table written in the same transactions as the changes; receipts are a log that a separate receiver
//! process flushes to disk before it answers. To find what was lost or sent without a commit, no relation of pg_herald
//! is read except `herald.dead_letter`, where a delivery may be given up openly.
//!
//! * [`victim`]: what is struck, and how.
//! * [`accounts`]: the receiver's log, read as it grows.
//! * [`arena`]: the cluster, the receiver and the load.
//! * [`round`]: one fault, and what must hold after it.
//! * [`results`]: one line per round, in a file that a later run resumes from, and the table at the end.

pub mod accounts;
pub mod arena;
pub mod results;
pub mod round;
pub mod victim;

use std::path::PathBuf;
use std::time::Instant;

use crate::error::Result;
use arena::Arena;
use results::Results;
use round::Fault;
use victim::Victim;

/// Limits how often a fault that hit nothing is repeated.
const TRIES_FOR_EACH_ROUND: u64 = 10;

#[derive(Debug)]
pub struct Options {
    /// Rounds that count, per victim.
    pub rounds: u64,
    pub seed: u64,
    pub victims: Vec<Victim>,
    /// Transactions per second.
    pub rate: f64,
    /// The file that keeps results; if it exists, the run resumes from it.
    pub resume: Option<PathBuf>,
}

/// Returns whether every promise was kept in every round.
pub fn run(options: &Options) -> Result<bool> {
    let mut results = Results::open(options.resume.as_deref(), options.seed)?;
    let began_at = Instant::now();
    println!(
        "seed {}, {} rounds for each of {} victims, {} transactions a second\n",
        options.seed,
        options.rounds,
        options.victims.len(),
        options.rate
    );
    let mut arena = Arena::prepare(options.seed)?;
    for victim in &options.victims {
        let mut tries = 0;
        while results.counted(victim) < options.rounds
            && tries < TRIES_FOR_EACH_ROUND * options.rounds
        {
            tries += 1;
            let number = results.next_number();
            let fault = Fault::new(victim.clone(), options.seed, number);
            let outcome = arena.play(&fault, options.rate)?;
            println!("{}", outcome.line());
            let is_kept = outcome.is_kept();
            results.add(outcome)?;
            if !is_kept {
                println!(
                    "\nA PROMISE WAS BROKEN in round {number}, seed {}; the cluster is in {} and its log ends with:\n{}",
                    options.seed,
                    arena.cluster.data_dir().display(),
                    arena.end_of_log()
                );
                print!("{}", results.table());
                return Ok(false);
            }
        }
    }
    print!("{}", results.table());
    let complete = options
        .victims
        .iter()
        .all(|victim| results.counted(victim) >= options.rounds);
    if !complete {
        println!(
            "Too few rounds count: the load was not heard of in the 100 ms before the faults, or a place was not passed."
        );
    }
    println!("took {} s", began_at.elapsed().as_secs());
    Ok(complete)
}
