//! A minute in which everybody does their worst: ten by command, an hour in full (`cargo xtask hostile`).

use std::env;
use std::time::Duration;

use herald_trial::hostile::{self, Report};
use herald_trial::{at_size, figure};

/// Set by `cargo xtask hostile`.
const MINUTES: &str = "HERALD_HOSTILE_MINUTES";
const SEED: &str = "HERALD_HOSTILE_SEED";
/// On a machine where ten other tests run. The ratio is a figure, and the benchmarks judge it.
const LONGEST_P99: Duration = Duration::from_secs(10);

#[test]
fn whatever_others_do_no_process_dies_nothing_is_lost_and_the_healthy_are_served() {
    let minutes = number(MINUTES).unwrap_or(at_size(1, 60));
    let seed = number(SEED).unwrap_or_else(|| {
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        now.as_secs()
    });
    figure("seed", seed);
    let report = hostile::play(seed, Duration::from_secs(60 * minutes)).expect("a report");
    println!("{report}");
    say(&report);
    assert_eq!(report.deaths, Vec::<String>::new(), "seed {seed}");
    assert!(report.is_same_worker, "seed {seed}: another worker runs");
    assert!(report.committed > 1_000, "{report}");
    assert_eq!(report.lost, Vec::<i64>::new(), "seed {seed}");
    assert_eq!(report.unaccounted, 0, "seed {seed}");
    let beside = Duration::from_micros(report.p99_beside().unsigned_abs());
    assert!(beside < LONGEST_P99, "seed {seed}: {beside:?}");
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

fn say(report: &Report) {
    figure("commits", report.committed);
    figure(
        "attacks",
        report
            .attacks
            .values()
            .map(|tries| tries.played)
            .sum::<u64>(),
    );
    figure("p99 alone, ms", report.p99_alone() as f64 / 1_000.0);
    figure("p99 beside, ms", report.p99_beside() as f64 / 1_000.0);
    figure("p99 beside / alone", format!("{:.2}", report.ratio()));
}
