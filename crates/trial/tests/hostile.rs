//! A minute in which all actors do their worst: ten minutes by command, an hour in full (`cargo xtask hostile`).

use std::env;
use std::time::Duration;

use herald_trial::hostile::{self, Report};
use herald_trial::{at_size, figure};

/// Set by `cargo xtask hostile`.
const MINUTES: &str = "HERALD_HOSTILE_MINUTES";
const SEED: &str = "HERALD_HOSTILE_SEED";
/// Set by `cargo xtask hostile`, which has the machine to itself.
const JUDGE: &str = "HERALD_HOSTILE_JUDGE";
/// The limit on a machine that runs ten other tests, where the ratio is only a figure.
const LONGEST_P99: Duration = Duration::from_secs(10);
/// How much later the slowest hundredth is served beside attacks in turn, minus what the machine costs everybody.
const LARGEST_RATIO: f64 = 2.0;

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
    assert_eq!(report.findings, Vec::<String>::new(), "seed {seed}");
    assert_eq!(report.toothless, Vec::<String>::new(), "seed {seed}");
    for served in [report.crowd, report.turns] {
        let p99 = Duration::from_micros(served.healthy.unsigned_abs());
        assert!(p99 < LONGEST_P99, "seed {seed}: {p99:?}");
    }
    if env::var_os(JUDGE).is_some() {
        let ratio = report.corrected_ratio();
        assert!(
            ratio <= LARGEST_RATIO,
            "seed {seed}: p99 is {ratio:.2} times that without attacks, corrected by the control"
        );
    }
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
    for (when, served) in [
        ("alone", report.alone),
        ("in a crowd", report.crowd),
        ("beside attacks in turn", report.turns),
    ] {
        figure(&format!("p99 {when}, ms"), served.healthy as f64 / 1_000.0);
        figure(
            &format!("p99 of the relay {when}, ms"),
            served.relay as f64 / 1_000.0,
        );
        figure(
            &format!("processors busy {when}, %"),
            format!(
                "{}, {} by the worker",
                served.busy_percent, served.worker_percent
            ),
        );
    }
    figure(
        "p99 beside attacks in turn / alone",
        format!("{:.2}", report.ratio()),
    );
    figure(
        "the same, corrected by the relay",
        format!("{:.2}", report.corrected_ratio()),
    );
}
