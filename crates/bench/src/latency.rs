//! From the commit to the receipt, at rates from idle to many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use herald_trial::{Result, error::Error};
use postgres::Client;

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::drain::prepare;
use crate::finding::{Figure, Samples};
use crate::rig::{Bench, PATIENCE, Rig, sink};
use crate::size::Size;

/// A load: so many statements a second, of so many rows each.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub per_second: f64,
    pub rows: usize,
    pub sessions: usize,
}

/// What a load came to.
#[derive(Debug)]
pub struct Heard {
    /// Milliseconds from before the statement was sent to the receipt.
    pub latencies: Samples,
    /// Milliseconds that the statement took, commit included.
    pub commits: Samples,
    /// Statements a second.
    pub reached: f64,
}

/// Runs the load for so long and waits until all of it arrived.
pub fn run(
    bench: &Bench<'_>,
    arrivals: &Arc<Arrivals>,
    load: Load,
    lasting: Duration,
) -> Result<Heard> {
    let next = AtomicUsize::new(0);
    let statements = (load.per_second * lasting.as_secs_f64()) as usize;
    let clients: Vec<Client> = (0..load.sessions)
        .map(|_| bench.connect())
        .collect::<Result<_>>()?;
    let (began_at, next) = (Instant::now(), &next);
    let commits = thread::scope(|scope| -> Result<Vec<f64>> {
        let sessions: Vec<_> = clients
            .into_iter()
            .map(|client| {
                scope.spawn(move || session(client, arrivals, load, statements, next, began_at))
            })
            .collect();
        let mut all = Vec::with_capacity(statements);
        for session in sessions {
            all.extend(
                session
                    .join()
                    .map_err(|_| Error::Setup("a session panicked".to_owned()))??,
            );
        }
        Ok(all)
    })?;
    let reached = statements as f64 / began_at.elapsed().as_secs_f64();
    arrivals.wait_for(statements * load.rows, PATIENCE)?;
    Ok(Heard {
        latencies: Samples::new(arrivals.latencies()),
        commits: Samples::new(commits),
        reached,
    })
}

fn session(
    mut client: Client,
    arrivals: &Arrivals,
    load: Load,
    statements: usize,
    next: &AtomicUsize,
    began_at: Instant,
) -> Result<Vec<f64>> {
    let insert = client.prepare(
        "insert into item select n, repeat('x', 850) from generate_series($1::int, $1::int + $2::int - 1) n",
    )?;
    let one = client.prepare("insert into item values ($1, repeat('x', 850))")?;
    let rows = i32::try_from(load.rows).map_err(|error| Error::Setup(error.to_string()))?;
    let mut commits = Vec::new();
    loop {
        let statement = next.fetch_add(1, Ordering::Relaxed);
        if statement >= statements {
            return Ok(commits);
        }
        let due = Duration::from_secs_f64(statement as f64 / load.per_second);
        thread::sleep(due.saturating_sub(began_at.elapsed()));
        let first = statement * load.rows;
        let number = i32::try_from(first).map_err(|error| Error::Setup(error.to_string()))?;
        arrivals.send_off(first..first + load.rows);
        let sent_at = Instant::now();
        match load.rows {
            1 => client.execute(&one, &[&number])?,
            _ => client.execute(&insert, &[&number, &rows])?,
        };
        commits.push(sent_at.elapsed().as_secs_f64() * 1e3);
    }
}

/// A load on a database of its own.
pub fn measure(rig: &Rig, load: Load, lasting: Duration) -> Result<Heard> {
    let statements = (load.per_second * lasting.as_secs_f64()) as usize;
    let warm_up = Arrivals::new(0);
    let first_sink = sink(&warm_up)?;
    let mut bench = prepare(rig, "latency", &first_sink.url())?;
    crate::drain::insert(&mut bench, 2_000, 850)?;
    warm_up.wait_for(2_000, PATIENCE)?;
    bench.settle()?;
    let arrivals = Arrivals::new(statements * load.rows);
    let sink = sink(&arrivals)?;
    bench.send_to(&sink)?;
    run(&bench, &arrivals, load, lasting)
}

/// At the rates of the targets.
pub fn rates(rig: &Rig, size: Size) -> Result<Finding> {
    let loads = [
        (
            Load {
                per_second: 20.0,
                rows: 1,
                sessions: 1,
            },
            size.of(3, 30),
        ),
        (
            Load {
                per_second: 200.0,
                rows: 1,
                sessions: 4,
            },
            size.of(5, 30),
        ),
        (
            Load {
                per_second: 2_000.0,
                rows: 1,
                sessions: 8,
            },
            size.of(5, 30),
        ),
        (
            Load {
                per_second: 100.0,
                rows: 100,
                sessions: 4,
            },
            size.of(8, 60),
        ),
    ];
    let mut figures = Vec::new();
    for (load, seconds) in loads {
        let heard = measure(rig, load, Duration::from_secs(seconds))?;
        let (rate, rows) = (load.per_second, load.rows);
        let named = |what: &str| format!("{rate} statements/s of {rows}: {what}");
        let figure = |what: &str, value: f64| Figure::new(named(what), "ms", vec![value]);
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| heard.latencies.percentile(percent));
        let (mut first, mut second, mut third) =
            (figure("p50", p50), figure("p95", p95), figure("p99", p99));
        match (rate as u32, rows) {
            (200, 1) => (first, second) = (first.at_most(2.0), second.at_most(4.0)),
            (2_000, 1) => third = third.at_most(50.0),
            (100, 100) => (second, third) = (second.at_most(100.0), third.at_most(500.0)),
            _ => {}
        }
        figures.extend([first, second, third]);
        figures.push(figure("the statement alone, p50", heard.commits.median()));
        figures.push(Figure::new(
            named("reached"),
            "statements/s",
            vec![heard.reached],
        ));
    }
    Ok(Finding::new(
        "From sending a statement that commits to the receipt of its events",
        figures,
    ))
}
