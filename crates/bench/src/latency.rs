//! Latency from commit to receipt, at rates from idle to busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use herald_trial::{Result, error::Error};
use postgres::Client;

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::bare::{Bare, Delivery, Maker};
use crate::drain::prepare;
use crate::finding::{Figure, Samples};
use crate::rig::{Bench, PATIENCE, Rig, sink};
use crate::size::Size;

/// A load: statements per second, and rows in each.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub per_second: f64,
    pub rows: usize,
    pub sessions: usize,
}

impl Load {
    fn statements_in(self, lasting: Duration) -> usize {
        (self.per_second * lasting.as_secs_f64()) as usize
    }

    fn rows_in(self, lasting: Duration) -> usize {
        self.statements_in(lasting) * self.rows
    }
}

/// The results of a load.
#[derive(Debug)]
pub struct Heard {
    /// Milliseconds from just before the statement was sent until receipt.
    pub latencies: Samples,
    /// Milliseconds that the statement took, commit included.
    pub commits: Samples,
    /// Statements per second.
    pub reached: f64,
}

/// How a statement's rows become requests.
pub enum Way {
    /// The table is watched.
    Watched,
    /// The table is unwatched, and its session hands a request to the bare sender right after the commit: the lower
    /// bound.
    Direct(Bare),
}

/// Runs the load for `lasting` and waits until all of it has arrived.
pub fn run(
    bench: &Bench<'_>,
    arrivals: &Arc<Arrivals>,
    load: Load,
    lasting: Duration,
    way: Way,
) -> Result<Heard> {
    let next = AtomicUsize::new(0);
    let statements = load.statements_in(lasting);
    let clients: Vec<Client> = (0..load.sessions)
        .map(|_| bench.connect())
        .collect::<Result<_>>()?;
    let (began_at, next) = (Instant::now(), &next);
    let commits = thread::scope(|scope| -> Result<Vec<f64>> {
        let direct = match way {
            Way::Watched => None,
            Way::Direct(bare) => {
                let (direct, deliveries) = mpsc::channel();
                let maker = bare.maker();
                scope.spawn(move || bare.forward(&deliveries).expect("the sink takes all"));
                Some(Direct { direct, maker })
            }
        };
        let sessions: Vec<_> = clients
            .into_iter()
            .map(|client| {
                let direct = direct.clone();
                scope.spawn(move || {
                    session(client, arrivals, load, statements, next, began_at, direct)
                })
            })
            .collect();
        drop(direct);
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

/// Where a session hands over its requests.
#[derive(Clone)]
struct Direct {
    direct: mpsc::Sender<Delivery>,
    maker: Maker,
}

fn session(
    mut client: Client,
    arrivals: &Arrivals,
    load: Load,
    statements: usize,
    next: &AtomicUsize,
    began_at: Instant,
    direct: Option<Direct>,
) -> Result<Vec<f64>> {
    let table = if direct.is_some() { "plain" } else { "item" };
    let insert = client.prepare(&format!(
        "insert into {table} select n, repeat('x', 850) from generate_series($1::int, $1::int + $2::int - 1) n",
    ))?;
    let insert_row = client.prepare(&format!(
        "insert into {table} values ($1, repeat('x', 850))"
    ))?;
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
            1 => client.execute(&insert_row, &[&number])?,
            _ => client.execute(&insert, &[&number, &rows])?,
        };
        commits.push(sent_at.elapsed().as_secs_f64() * 1e3);
        for number in direct.iter().flat_map(|_| first..first + load.rows) {
            let Some(Direct { direct, maker }) = &direct else {
                break;
            };
            // The sender's thread lives as long as a session may send.
            let _ = direct.send(maker.numbered(number));
        }
    }
}

/// Prepares a warm database with a watched and an unwatched table.
fn warm<'a>(rig: &'a Rig) -> Result<Bench<'a>> {
    let warm_up = Arrivals::new(0);
    let sink = sink(&warm_up)?;
    let mut bench = prepare(rig, "latency", &sink.url())?;
    bench.run("create table plain (number int, body text)")?;
    crate::drain::insert(&mut bench, 2_000, 850)?;
    warm_up.wait_for(2_000, PATIENCE)?;
    bench.settle()?;
    Ok(bench)
}

fn watched(bench: &mut Bench<'_>, load: Load, lasting: Duration) -> Result<Heard> {
    let arrivals = Arrivals::new(load.rows_in(lasting));
    let sink = sink(&arrivals)?;
    bench.send_to(&sink)?;
    run(bench, &arrivals, load, lasting, Way::Watched)
}

fn direct(bench: &Bench<'_>, load: Load, lasting: Duration) -> Result<Heard> {
    let arrivals = Arrivals::new(load.rows_in(lasting));
    let sink = sink(&arrivals)?;
    let way = Way::Direct(Bare::start(&sink.url())?);
    run(bench, &arrivals, load, lasting, way)
}

/// Runs `body` while another session fills an unwatched table, a million rows at a time.
fn beside_a_bulk_load<R>(
    bench: &mut Bench<'_>,
    body: impl FnOnce(&mut Bench<'_>) -> Result<R>,
) -> Result<R> {
    bench.run("create table bulk (number int, body text)")?;
    let mut loader = bench.connect()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let loading = scope.spawn(|| -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                loader.batch_execute(
                    "insert into bulk select n, repeat('x', 100) from generate_series(1, 1000000) n; truncate bulk",
                )?;
            }
            Ok(())
        });
        let done = body(bench);
        is_over.store(true, Ordering::Relaxed);
        loading
            .join()
            .map_err(|_| Error::Setup("the bulk load panicked".to_owned()))??;
        done
    })
}

/// Measures at the rates of the targets.
pub fn rates(rig: &Rig, size: Size) -> Result<Finding> {
    let loads = [
        (
            Load {
                per_second: 1.0,
                rows: 1,
                sessions: 1,
            },
            size.of(3, 30),
        ),
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
            size.of(3, 20),
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
            size.of(4, 60),
        ),
    ];
    let mut figures = Vec::new();
    for (load, seconds) in loads {
        let (rate, rows) = (load.per_second, load.rows);
        // A target in milliseconds is shown beside what this machine allows.
        let is_floor_shown = (rate as u32, rows) == (200, 1);
        let lasting = Duration::from_secs(seconds);
        let mut bench = warm(rig)?;
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        let rounds = if is_floor_shown { size.of(2, 5) } else { 1 };
        for _ in 0..rounds {
            ours.push(watched(&mut bench, load, lasting)?);
            if is_floor_shown {
                floor.push(direct(&bench, load, lasting)?);
            }
        }
        let named = |what: &str| format!("{rate} statements/s of {rows}: {what}");
        let percentiles = |heard: &[Heard], percent: f64| -> Vec<f64> {
            let percentile = |heard: &Heard| heard.latencies.percentile(percent);
            heard.iter().map(percentile).collect()
        };
        for percent in [50.0, 95.0, 99.0] {
            let mut figure = Figure::new(
                named(&format!("p{percent}")),
                "ms",
                percentiles(&ours, percent),
            );
            figure = match (rate as u32, rows, percent as u32) {
                (200, 1, 50) => figure.at_most(2.0),
                (200, 1, 95) => figure.at_most(4.0),
                (2_000, 1, 99) => figure.at_most(50.0),
                (100, 100, 95) => figure.at_most(100.0),
                (100, 100, 99) => figure.at_most(500.0),
                _ => figure,
            };
            figures.push(figure);
            if is_floor_shown {
                let what =
                    format!("p{percent} of the bare statement and the bare request after it");
                let values = percentiles(&floor, percent);
                figures.push(Figure::new(named(&what), "ms", values));
            }
        }
        let of = |value: fn(&Heard) -> f64| ours.iter().map(value).collect();
        figures.push(Figure::new(
            named("the statement alone, p50"),
            "ms",
            of(|heard| heard.commits.median()),
        ));
        if is_floor_shown {
            let (loaded, loaded_floor) = beside_a_bulk_load(&mut bench, |bench| {
                Ok((
                    watched(bench, load, lasting)?,
                    direct(bench, load, lasting)?,
                ))
            })?;
            for percent in [50.0, 95.0] {
                for (heard, whose) in [
                    (&loaded, ""),
                    (
                        &loaded_floor,
                        " of the bare statement and the bare request after it",
                    ),
                ] {
                    let what = format!("p{percent}{whose}, beside a bulk load into another table");
                    let value = heard.latencies.percentile(percent);
                    figures.push(Figure::new(named(&what), "ms", vec![value]));
                }
            }
        }
        figures.push(Figure::new(
            named("reached"),
            "statements/s",
            of(|heard| heard.reached),
        ));
    }
    Ok(Finding::new(
        "From sending a statement that commits to the receipt of its events",
        figures,
    ))
}
