//! Plays schedules with every change: those that failed once, fresh ones, and a fixed thousand for the mutants.

use herald_simulation::run::play;
use herald_simulation::schedule::Schedule;
use herald_simulation::story::Story;

/// Seeds that failed once, one per line, each with its reason.
const SEEDS: &str = include_str!("../seeds.txt");

fn keep(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let report = play(&Schedule::of(seed), Story::default());
        if let Some(fault) = report.fault {
            panic!("seed {seed}: {fault}\nsee: cargo xtask simulate --seed {seed} --trace");
        }
    }
}

#[test]
fn seeds_that_failed_once_pass() {
    keep(
        SEEDS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (seed, why) = line.split_once(' ').expect("a seed has a reason");
                assert!(!why.trim().is_empty(), "{line}");
                seed.parse().expect("a line begins with a seed")
            }),
    );
}

#[test]
fn fresh_schedules_keep_every_promise() {
    let first = fastrand::u64(..1 << 48);
    keep(first..first + 100);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..10 {
        let play = || play(&Schedule::of(seed), Story::default());
        assert_eq!(play(), play(), "seed {seed}");
    }
}

/// The mutants have to fail this test.
#[test]
#[ignore = "it takes an optimised build"]
fn a_thousand_schedules_keep_every_promise() {
    keep(0..1_000);
}
