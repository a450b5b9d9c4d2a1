//! `herald-simulation`: plays schedules until one fails or time is up. `cargo xtask simulate` runs it.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use herald_simulation::run::{Report, play};
use herald_simulation::schedule::Schedule;
use herald_simulation::shrink::shrink;
use herald_simulation::story::Story;
use lexopt::prelude::*;

const THREADS: u64 = 2;
/// How long to shrink a schedule that failed.
const SHRINK: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Options {
    seconds: Option<u64>,
    schedules: Option<u64>,
    seed: Option<u64>,
    is_traced: bool,
    /// Reports a failed schedule without shrinking it.
    keeps_failures_whole: bool,
}

fn main() -> ExitCode {
    let options = match parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let is_right = match options.seed {
        Some(seed) if options.schedules.is_none() && options.seconds.is_none() => {
            play_one(seed, options.is_traced)
        }
        _ => play_many(&options),
    };
    if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn parse() -> Result<Options, lexopt::Error> {
    let mut options = Options::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("seconds") => options.seconds = Some(arguments.value()?.parse()?),
            Long("schedules") => options.schedules = Some(arguments.value()?.parse()?),
            Long("seed") => options.seed = Some(arguments.value()?.parse()?),
            Long("no-shrink") => options.keeps_failures_whole = true,
            Long("trace") => options.is_traced = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

/// Plays one seed. If it fails, shrinks it and tells the failure.
fn play_one(seed: u64, is_traced: bool) -> bool {
    let schedule = Schedule::of(seed);
    let report = play(&schedule, Story::default());
    if report.fault.is_none() {
        if is_traced {
            play(&schedule, Story { is_told: true });
        }
        println!(
            "seed {seed}: {} steps, nothing is wrong: {report:?}",
            schedule.steps.len()
        );
        return true;
    }
    tell_failure(&schedule, &report, is_traced);
    false
}

fn tell_failure(schedule: &Schedule, report: &Report, is_traced: bool) {
    let seed = schedule.seed;
    println!(
        "seed {seed} fails: {}",
        report.fault.as_deref().unwrap_or_default()
    );
    let until = Instant::now() + SHRINK;
    let (least, report) = shrink(schedule, || Instant::now() < until);
    println!(
        "shrunk from {} steps to {}: {}",
        schedule.steps.len(),
        least.steps.len(),
        report.fault.as_deref().unwrap_or_default()
    );
    println!("{:?}", least.station);
    for step in &least.steps {
        println!(
            "  {:>5} after {:>10} us {:?} {:?}",
            step.number, step.gap, step.when, step.deed
        );
    }
    if is_traced {
        play(&least, Story { is_told: true });
    } else {
        println!("its story: cargo xtask simulate --seed {seed} --trace");
    }
}

/// Plays fresh seeds on two threads until time is up or a schedule fails.
fn play_many(options: &Options) -> bool {
    let first = options.seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    let until = options
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let most = match (options.schedules, until) {
        (None, None) => 10_000,
        (most, _) => most.unwrap_or(u64::MAX),
    };
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (failed, figures) = (Mutex::new(Vec::new()), Mutex::new(Figures::default()));
    let began_at = Instant::now();
    let play_some = || {
        let mut mine = Figures::default();
        while !is_over.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= most {
                break;
            }
            let schedule = Schedule::of(first + place);
            let report = play(&schedule, Story::default());
            mine.add(&schedule, &report);
            if report.fault.is_some() {
                is_over.store(true, Ordering::Relaxed);
                failed
                    .lock()
                    .expect("no thread panics")
                    .push((schedule, report));
            }
        }
        figures.lock().expect("no thread panics").merge(&mine);
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(play_some);
        }
    });
    let took = began_at.elapsed();
    figures
        .into_inner()
        .expect("no thread panics")
        .print(first, took);
    let failed = failed.into_inner().expect("no thread panics");
    for (schedule, report) in &failed {
        if options.keeps_failures_whole {
            let fault = report.fault.as_deref().unwrap_or_default();
            println!("seed {} fails: {fault}", schedule.seed);
            continue;
        }
        tell_failure(schedule, report, options.is_traced);
    }
    failed.is_empty()
}

/// Totals of what was played.
#[derive(Debug, Default)]
struct Figures {
    schedules: u64,
    steps: u64,
    workers: u64,
    events: u64,
    attempts: u64,
    lasted: i64,
    longest_drain: i64,
}

impl Figures {
    fn add(&mut self, schedule: &Schedule, report: &Report) {
        self.schedules += 1;
        self.steps += schedule.steps.len() as u64;
        self.workers += report.workers as u64;
        self.events += report.events as u64;
        self.attempts += report.attempts as u64;
        self.lasted += report.lasted;
        self.longest_drain = self.longest_drain.max(report.drained_in);
    }

    fn merge(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.workers += other.workers;
        self.events += other.events;
        self.attempts += other.attempts;
        self.lasted += other.lasted;
        self.longest_drain = self.longest_drain.max(other.longest_drain);
    }

    fn print(&self, first: u64, took: Duration) {
        println!(
            "{} schedules from seed {first} on in {:.1} s, {:.0} a second: {} steps, {} events, {} attempts, {} workers, \
             {:.1} days of virtual time; the slowest came to its end {:.1} s after its troubles",
            self.schedules,
            took.as_secs_f64(),
            self.schedules as f64 / took.as_secs_f64(),
            self.steps,
            self.events,
            self.attempts,
            self.workers,
            self.lasted as f64 / 86_400e6,
            self.longest_drain as f64 / 1e6,
        );
    }
}
