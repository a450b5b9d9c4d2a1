//! The cost of trouble elsewhere for a healthy subscription: a dead endpoint, a gone receiver, a locked row, changes of
//! subscriptions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use herald_trial::{Error, Mode, Receiver, Result};

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::drain::prepare;
use crate::finding::{Figure, ratios};
use crate::latency::{self, Load};
use crate::memory::processor_time;
use crate::rig::{Bench, Rig, sink};
use crate::size::Size;

const LOAD: Load = Load {
    per_second: 200.0,
    rows: 1,
    sessions: 2,
};

/// How often subscriptions change.
const CHANGED_EVERY: Duration = Duration::from_millis(150);
const CHANGE: &str =
    "update herald.subscription set description = clock_timestamp()::text where name = 'idle.7'";

/// Milliseconds in each round: until receipt, and for the statement with its commit.
#[derive(Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
    statement_p50: Vec<f64>,
    statement_p99: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, bench: &mut Bench<'_>, lasting: Duration) -> Result<()> {
        let arrivals = Arrivals::new((LOAD.per_second * lasting.as_secs_f64()) as usize);
        let sink = sink(&arrivals)?;
        bench.send_to(&sink)?;
        let heard = latency::run(bench, &arrivals, LOAD, lasting, latency::Way::Watched)?;
        self.p50.push(heard.latencies.percentile(50.0));
        self.p99.push(heard.latencies.percentile(99.0));
        self.statement_p50.push(heard.commits.percentile(50.0));
        self.statement_p99.push(heard.commits.percentile(99.0));
        Ok(())
    }

    /// Returns the figures of rounds with and without trouble.
    fn figures(besides: Self, by_itself: Self) -> Vec<Figure> {
        let more: Vec<f64> = besides
            .p99
            .iter()
            .zip(&by_itself.p99)
            .map(|(with, without)| with - without)
            .collect();
        let ratio = ratios(&besides.p99, &by_itself.p99);
        vec![
            Figure::new("p99 beside it, against alone", "ratio", ratio).at_most(1.2),
            Figure::new("p99 beside it, less alone", "ms", more).at_most(1.0),
            Figure::new("p99 beside it", "ms", besides.p99),
            Figure::new("p99 alone", "ms", by_itself.p99),
            Figure::new("p50 beside it", "ms", besides.p50),
            Figure::new("p50 alone", "ms", by_itself.p50),
            Figure::new(
                "the statement with its commit beside it, p50",
                "ms",
                besides.statement_p50,
            ),
            Figure::new(
                "the statement with its commit alone, p50",
                "ms",
                by_itself.statement_p50,
            ),
            Figure::new(
                "the statement with its commit beside it, p99",
                "ms",
                besides.statement_p99,
            ),
            Figure::new(
                "the statement with its commit alone, p99",
                "ms",
                by_itself.statement_p99,
            ),
        ]
    }
}

/// Measures a healthy subscription alone and beside trouble, in turns. `prepare_trouble` runs once; `in_trouble` plays
/// a round amid the trouble.
fn compare(
    rig: &Rig,
    size: Size,
    title: String,
    prepare_trouble: impl FnOnce(&mut Bench<'_>) -> Result<()>,
    in_trouble: impl Fn(&mut Bench<'_>, &mut Rounds, Duration) -> Result<()>,
) -> Result<Finding> {
    let more = |_: &mut Bench<'_>| Ok(Vec::new());
    compare_and(rig, size, title, prepare_trouble, in_trouble, more)
}

/// Compares likewise, with more figures taken from the troubled bench at the end.
fn compare_and(
    rig: &Rig,
    size: Size,
    title: String,
    prepare_trouble: impl FnOnce(&mut Bench<'_>) -> Result<()>,
    in_trouble: impl Fn(&mut Bench<'_>, &mut Rounds, Duration) -> Result<()>,
    more: impl FnOnce(&mut Bench<'_>) -> Result<Vec<Figure>>,
) -> Result<Finding> {
    let lasting = Duration::from_secs(size.of(4, 20));
    let first = Arrivals::new(0);
    let first_sink = sink(&first)?;
    let mut alone = prepare(rig, "alone", &first_sink.url())?;
    let mut beside = prepare(rig, "beside", &first_sink.url())?;
    prepare_trouble(&mut beside)?;
    let (mut by_itself, mut besides) = (Rounds::default(), Rounds::default());
    for _ in 0..size.of(2, 5) {
        by_itself.add(&mut alone, lasting)?;
        in_trouble(&mut beside, &mut besides, lasting)?;
    }
    let mut figures = Rounds::figures(besides, by_itself);
    figures.extend(more(&mut beside)?);
    Ok(Finding::new(title, figures))
}

/// Emits events for the subscription in trouble.
fn emit(bench: &mut Bench<'_>, event_type: &str, count: usize) -> Result<()> {
    bench.run(&format!(
        "select herald.emit('{event_type}', json_build_object('body', repeat('x', 850))::jsonb) from generate_series(1, {count})"
    ))
}

/// Measures beside the backlog of an endpoint that accepts connections but never answers.
pub fn beside_a_dead_endpoint(rig: &Rig, size: Size) -> Result<Finding> {
    let backlog = size.of(5_000, 100_000);
    let dead = Receiver::builder()
        .mode(Mode::hang_before_answer())
        .start()?;
    let title = format!(
        "200 events/s of a healthy subscription beside a dead one with {backlog} events of backlog"
    );
    let prepare_trouble = |bench: &mut Bench<'_>| {
        bench.run(&format!(
            "select herald.subscribe('dead', url => '{}', types => '{{dead}}', timeout => '30 s')",
            dead.url("/")
        ))?;
        emit(bench, "dead", backlog)?;
        bench.until("select count(*) from herald.pending", backlog)
    };
    compare(
        rig,
        size,
        title,
        prepare_trouble,
        |bench, rounds, lasting| rounds.add(bench, lasting),
    )
}

/// Measures while the backlog of an endpoint that answers 410 is buried.
pub fn beside_a_gone_receiver(rig: &Rig, size: Size) -> Result<Finding> {
    let backlog = size.of(5_000, 40_000);
    let gone = Receiver::builder().mode(Mode::status(410)).start()?;
    let title = format!(
        "200 events/s of a healthy subscription while {backlog} events are buried whose receiver answered 410"
    );
    let prepare_trouble = |bench: &mut Bench<'_>| {
        bench.run(&format!(
            "select herald.subscribe('gone', url => '{}', types => '{{gone}}')",
            gone.url("/")
        ))
    };
    compare(
        rig,
        size,
        title,
        prepare_trouble,
        |bench, rounds, lasting| {
            // The previous round left it disabled.
            bench.run("select herald.resume('gone'); select herald.pause('gone')")?;
            emit(bench, "gone", backlog)?;
            bench.until("select count(*) from herald.pending", backlog)?;
            bench.run("select herald.resume('gone')")?;
            rounds.add(bench, lasting)?;
            bench.until(
                "select (not exists (select from herald.pending))::integer",
                1,
            )
        },
    )
}

/// Measures while another session locks the rows that record the outcomes of a failing endpoint.
pub fn beside_locked_rows(rig: &Rig, size: Size) -> Result<Finding> {
    let failing = Receiver::builder().mode(Mode::status(500)).start()?;
    let title =
        "200 events/s of a healthy subscription beside a failing one whose pending deliveries are locked"
            .to_owned();
    let prepare_trouble = |bench: &mut Bench<'_>| {
        bench.run(&format!(
            "select herald.subscribe('failing', url => '{}', types => '{{failing}}',
                 retry_schedule => array_fill('200 ms'::interval, array[100]))",
            failing.url("/")
        ))
    };
    compare(
        rig,
        size,
        title,
        prepare_trouble,
        |bench, rounds, lasting| {
            emit(bench, "failing", 100)?;
            bench.until("select count(*) from herald.pending", 100)?;
            let mut locker = bench.connect()?;
            locker.batch_execute("begin; select from herald.pending for update")?;
            rounds.add(bench, lasting)?;
            locker.batch_execute("commit")?;
            bench.run("select herald.discard('failing')")
        },
    )
}

/// Measures while subscriptions change, beside many idle ones.
pub fn beside_changes(rig: &Rig, size: Size) -> Result<Finding> {
    let many = size.of(1_000, 10_000);
    let title = format!(
        "200 events/s of a healthy subscription beside {many} others, of which one changes each {} ms",
        CHANGED_EVERY.as_millis()
    );
    let prepare_trouble = |bench: &mut Bench<'_>| {
        bench.run(&format!(
            "select herald.subscribe('idle.' || n, url => 'http://127.0.0.1:9/', types => '{{idle}}') from generate_series(1, {many}) n"
        ))
    };
    compare_and(
        rig,
        size,
        title,
        prepare_trouble,
        |bench, rounds, lasting| {
            let mut changer = bench.connect()?;
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                let changes = scope.spawn(|| -> Result<()> {
                    while !is_over.load(Ordering::Relaxed) {
                        changer.batch_execute(CHANGE)?;
                        thread::sleep(CHANGED_EVERY);
                    }
                    Ok(())
                });
                let played = rounds.add(bench, lasting);
                is_over.store(true, Ordering::Relaxed);
                changes.join().unwrap_or_else(|_| {
                    Err(Error::Setup("the session that changes panicked".into()))
                })?;
                played
            })
        },
        |bench| Ok(vec![processor_time_of_a_change(bench)?]),
    )
}

/// Measures what a change costs the idle worker's main thread, minus its cost without changes.
fn processor_time_of_a_change(bench: &mut Bench<'_>) -> Result<Figure> {
    const CHANGES: usize = 20;
    let worker = bench.worker()?;
    let mut during = |statement: &str| -> Result<f64> {
        let before = processor_time(worker)?;
        for _ in 0..CHANGES {
            bench.run(statement)?;
            thread::sleep(CHANGED_EVERY / 3);
        }
        Ok((processor_time(worker)? - before) * 1_000.0 / CHANGES as f64)
    };
    let mut millis = Vec::new();
    for _ in 0..5 {
        let without = during("select 7")?;
        millis.push(during(CHANGE)? - without);
    }
    let what = "processor time of the worker's main thread for a change";
    Ok(Figure::new(what, "ms", millis).at_most(5.0))
}
