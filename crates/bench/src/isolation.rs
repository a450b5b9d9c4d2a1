//! What a dead endpoint costs a healthy one.

use std::time::Duration;

use herald_trial::{Mode, Receiver, Result};

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::drain::prepare;
use crate::finding::{Figure, ratios};
use crate::latency::{self, Load};
use crate::rig::{Bench, Rig, sink};
use crate::size::Size;

const LOAD: Load = Load {
    per_second: 200.0,
    rows: 1,
    sessions: 2,
};

/// Milliseconds of each round: to the receipt, and of the statement with its commit.
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
}

/// Beside a backlog for an endpoint that accepts connections and never answers.
pub fn beside_a_dead_endpoint(rig: &Rig, size: Size) -> Result<Finding> {
    let backlog = size.of(5_000, 100_000);
    let lasting = Duration::from_secs(size.of(4, 20));
    let first = Arrivals::new(0);
    let first_sink = sink(&first)?;
    let mut alone = prepare(rig, "alone", &first_sink.url())?;
    let mut beside = prepare(rig, "beside", &first_sink.url())?;
    let dead = Receiver::builder()
        .mode(Mode::hang_before_answer())
        .start()?;
    beside.run(&format!(
        "select herald.subscribe('dead', url => '{}', types => '{{dead}}', timeout => '30 s')",
        dead.url("/")
    ))?;
    beside.run(&format!(
        "select herald.emit('dead', json_build_object('body', repeat('x', 850))::jsonb) from generate_series(1, {backlog})"
    ))?;
    beside.until("select count(*) from herald.pending", backlog)?;
    let (mut by_itself, mut besides) = (Rounds::default(), Rounds::default());
    for _ in 0..size.of(2, 5) {
        by_itself.add(&mut alone, lasting)?;
        besides.add(&mut beside, lasting)?;
    }
    let more: Vec<f64> = besides
        .p99
        .iter()
        .zip(&by_itself.p99)
        .map(|(with, without)| with - without)
        .collect();
    Ok(Finding::new(
        format!(
            "200 events/s of a healthy subscription beside a dead one with {backlog} events of backlog"
        ),
        vec![
            Figure::new(
                "p99 beside it, against alone",
                "ratio",
                ratios(&besides.p99, &by_itself.p99),
            )
            .at_most(1.2),
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
        ],
    ))
}
