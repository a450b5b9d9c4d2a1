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

/// The 50th and the 99th percentile of a round, in milliseconds.
fn round(bench: &mut Bench<'_>, lasting: Duration) -> Result<(f64, f64)> {
    let arrivals = Arrivals::new((LOAD.per_second * lasting.as_secs_f64()) as usize);
    let sink = sink(&arrivals)?;
    bench.send_to(&sink)?;
    let heard = latency::run(bench, &arrivals, LOAD, lasting, latency::Way::Watched)?;
    Ok((
        heard.latencies.percentile(50.0),
        heard.latencies.percentile(99.0),
    ))
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
    let (mut p50, mut p99) = ((vec![], vec![]), (vec![], vec![]));
    for _ in 0..size.of(2, 5) {
        let (middle, late) = round(&mut alone, lasting)?;
        p50.0.push(middle);
        p99.0.push(late);
        let (middle, late) = round(&mut beside, lasting)?;
        p50.1.push(middle);
        p99.1.push(late);
    }
    let more: Vec<f64> = p99
        .1
        .iter()
        .zip(&p99.0)
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
                ratios(&p99.1, &p99.0),
            )
            .at_most(1.2),
            Figure::new("p99 beside it, less alone", "ms", more).at_most(1.0),
            Figure::new("p99 beside it", "ms", p99.1),
            Figure::new("p99 alone", "ms", p99.0),
            Figure::new("p50 beside it", "ms", p50.1),
            Figure::new("p50 alone", "ms", p50.0),
        ],
    ))
}
