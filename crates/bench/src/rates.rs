//! Latency from commit to receipt, at rates from idle to busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use herald_trial::{Result, error::Error};

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::bare::Bare;
use crate::drain::{insert, prepare};
use crate::finding::Figure;
use crate::latency::{Heard, Load, Way, run};
use crate::rig::{Bench, PATIENCE, Rig, sink};
use crate::size::Size;

/// Ends the names of the floor's figures: what this machine allows.
const OF_THE_FLOOR: &str = " of the bare statement and the bare request after it";

/// Measures at the rates of the targets.
pub fn rates(rig: &Rig, size: Size) -> Result<Finding> {
    let mut figures = Vec::new();
    for (load, seconds) in loads(size) {
        figures.extend(at_rate(rig, load, Duration::from_secs(seconds), size)?);
    }
    Ok(Finding::new(
        "From sending a statement that commits to the receipt of its events",
        figures,
    ))
}

/// Returns each load, and its seconds.
fn loads(size: Size) -> [(Load, u64); 5] {
    let load = |per_second, rows, sessions| Load {
        per_second,
        rows,
        sessions,
    };
    [
        (load(1.0, 1, 1), size.of(3, 30)),
        (load(20.0, 1, 1), size.of(3, 30)),
        (load(200.0, 1, 4), size.of(3, 20)),
        (load(2_000.0, 1, 8), size.of(5, 30)),
        (load(100.0, 100, 4), size.of(4, 60)),
    ]
}

fn at_rate(rig: &Rig, load: Load, lasting: Duration, size: Size) -> Result<Vec<Figure>> {
    // A target in milliseconds is shown beside what this machine allows.
    let is_floor_shown = (load.per_second as u32, load.rows) == (200, 1);
    let mut bench = warm(rig)?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    let rounds = if is_floor_shown { size.of(2, 5) } else { 1 };
    for _ in 0..rounds {
        ours.push(watched(&mut bench, load, lasting)?);
        if is_floor_shown {
            floor.push(direct(&bench, load, lasting)?);
        }
    }
    let mut figures = Vec::new();
    for percent in [50.0, 95.0, 99.0] {
        let what = named(load, &format!("p{percent}"));
        let figure = Figure::new(what, "ms", percentiles(&ours, percent));
        figures.push(with_target(figure, load, percent));
        if is_floor_shown {
            let what = named(load, &format!("p{percent}{OF_THE_FLOOR}"));
            figures.push(Figure::new(what, "ms", percentiles(&floor, percent)));
        }
    }
    let of = |value: fn(&Heard) -> f64| ours.iter().map(value).collect();
    figures.push(Figure::new(
        named(load, "the statement alone, p50"),
        "ms",
        of(|heard| heard.commits.median()),
    ));
    if is_floor_shown {
        figures.extend(at_rate_beside_a_bulk_load(&mut bench, load, lasting)?);
    }
    figures.push(Figure::new(
        named(load, "reached"),
        "statements/s",
        of(|heard| heard.reached),
    ));
    Ok(figures)
}

fn at_rate_beside_a_bulk_load(
    bench: &mut Bench<'_>,
    load: Load,
    lasting: Duration,
) -> Result<Vec<Figure>> {
    let (ours, floor) = beside_a_bulk_load(bench, |bench| {
        Ok((
            watched(bench, load, lasting)?,
            direct(bench, load, lasting)?,
        ))
    })?;
    let mut figures = Vec::new();
    for percent in [50.0, 95.0] {
        for (heard, whose) in [(&ours, ""), (&floor, OF_THE_FLOOR)] {
            let what = format!("p{percent}{whose}, beside a bulk load into another table");
            let value = heard.latencies.percentile(percent);
            figures.push(Figure::new(named(load, &what), "ms", vec![value]));
        }
    }
    Ok(figures)
}

fn named(load: Load, what: &str) -> String {
    let Load {
        per_second, rows, ..
    } = load;
    format!("{per_second} statements/s of {rows}: {what}")
}

fn percentiles(heard: &[Heard], percent: f64) -> Vec<f64> {
    let percentile = |heard: &Heard| heard.latencies.percentile(percent);
    heard.iter().map(percentile).collect()
}

fn with_target(figure: Figure, load: Load, percent: f64) -> Figure {
    match (load.per_second as u32, load.rows, percent as u32) {
        (200, 1, 50) => figure.at_most(2.0),
        (200, 1, 95) => figure.at_most(4.0),
        (2_000, 1, 99) => figure.at_most(50.0),
        (100, 100, 95) => figure.at_most(100.0),
        (100, 100, 99) => figure.at_most(500.0),
        _ => figure,
    }
}

/// Prepares a warm database with a watched and an unwatched table.
fn warm<'a>(rig: &'a Rig) -> Result<Bench<'a>> {
    let warm_up = Arrivals::new(0);
    let sink = sink(&warm_up)?;
    let mut bench = prepare(rig, "latency", &sink.url())?;
    bench.run("create table plain (number int, body text)")?;
    insert(&mut bench, 2_000, 850)?;
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
