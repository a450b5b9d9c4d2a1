//! How fast a backlog drains: beside the bare sender and a queue table, with an old snapshot, after many events.

use std::sync::Arc;

use herald_trial::Result;
use postgres::Client;

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::bare::{self, Bare};
use crate::finding::{Figure, ratios};
use crate::queue_table;
use crate::rig::{Bench, PATIENCE, Rig, THREADS, sink};
use crate::size::Size;

/// Gives data of 1 kB with what capture adds.
pub const BODY: usize = 850;

/// Where a backlog waits.
#[derive(Debug, Clone, Copy)]
pub enum Backlog {
    /// Committed while no worker ran; not read yet.
    InTheLog,
    /// Committed while the subscription was paused: one row of herald.pending each.
    Pending,
}

/// The backlog to drain, and what precedes it.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    pub backlog: Backlog,
    pub events: usize,
    /// Characters of the table's text column.
    pub body: usize,
    pub concurrency: usize,
    /// Events delivered before, as one backlog.
    pub delivered: usize,
    /// Whether a snapshot stays open from before those.
    pub is_snapshot_held: bool,
}

impl Drain {
    pub fn of(backlog: Backlog) -> Self {
        Self {
            backlog,
            events: 20_000,
            body: BODY,
            concurrency: THREADS,
            delivered: 0,
            is_snapshot_held: false,
        }
    }
}

/// Creates a watched table with one subscription.
pub fn prepare<'a>(rig: &'a Rig, name: &str, url: &str) -> Result<Bench<'a>> {
    let mut bench = rig.bench(name)?;
    bench.run("create table item (number int, body text); select herald.watch('item')")?;
    bench.subscribe("sink", url, ", types => '{public.item.*}'")?;
    bench.settle()?;
    bench.run("checkpoint")?;
    Ok(bench)
}

/// Inserts rows numbered from 0, with text that hardly compresses.
pub fn insert(bench: &mut Bench<'_>, rows: usize, body: usize) -> Result<()> {
    bench.run(&format!(
        "insert into item
         select n, (select string_agg(substr(md5(n || '.' || i), 1, least(32, {body} - 32 * i)), '')
                    from generate_series(0, ({body} - 1) / 32) i)
         from generate_series(0, {rows} - 1) n"
    ))
}

/// Builds a backlog and drains it. Returns events per second.
pub fn drain(bench: &mut Bench<'_>, arrivals: &Arrivals, drain: &Drain) -> Result<f64> {
    match drain.backlog {
        Backlog::InTheLog => {
            bench.run("select herald.stop_worker()")?;
            insert(bench, drain.events, drain.body)?;
            bench.run("checkpoint; select herald.start_worker()")?;
        }
        Backlog::Pending => {
            bench.run("select herald.pause('sink')")?;
            insert(bench, drain.events, drain.body)?;
            bench.until("select count(*) from herald.pending", drain.events)?;
            bench.run("checkpoint; select herald.resume('sink')")?;
        }
    }
    arrivals.wait_for(drain.events, PATIENCE)?;
    bench.settle()?;
    Ok(arrivals.per_second())
}

fn hold_snapshot(client: &mut Client) -> Result<()> {
    Ok(client
        .batch_execute("begin isolation level repeatable read; select from pg_class limit 1")?)
}

pub fn ours(rig: &Rig, run: &Drain) -> Result<f64> {
    let (before, arrivals) = (Arrivals::new(0), Arrivals::new(0));
    let (first_sink, sink) = (sink(&before)?, sink(&arrivals)?);
    let mut bench = prepare(rig, "drain", &first_sink.url())?;
    bench.run(&format!(
        "update herald.subscription set max_concurrency = {}",
        run.concurrency
    ))?;
    let mut holder = bench.connect()?;
    if run.is_snapshot_held {
        hold_snapshot(&mut holder)?;
    }
    // Through herald.pending, which a snapshot can harm.
    let earlier = Drain {
        events: run.delivered,
        ..Drain::of(Backlog::Pending)
    };
    drain(&mut bench, &before, &earlier)?;
    bench.send_to(&sink)?;
    drain(&mut bench, &arrivals, run)
}

/// Measures the same requests without a database.
pub fn bare_sender(run: &Drain) -> Result<f64> {
    let arrivals = Arrivals::new(0);
    let sink = sink(&arrivals)?;
    let bare = Bare::start(&sink.url())?;
    let event = bare::event(&record(run.body));
    let mut left = run.events;
    bare.send_all(
        |bare| {
            let next = left.checked_sub(1);
            left = next.unwrap_or(0);
            Ok(next.map(|_| bare.delivery(0, Arc::clone(&event))))
        },
        |_| Ok(()),
    )?;
    Ok(arrivals.per_second())
}

/// Measures the same events in a queue table.
pub fn queue_table(rig: &Rig, run: &Drain) -> Result<f64> {
    let (before, arrivals) = (Arrivals::new(0), Arrivals::new(0));
    let (first_sink, sink) = (sink(&before)?, sink(&arrivals)?);
    let mut client = rig.cluster.create_database("queue_table")?;
    client.batch_execute(queue_table::CREATE)?;
    let mut holder = rig.cluster.connect("queue_table")?;
    if run.is_snapshot_held {
        hold_snapshot(&mut holder)?;
    }
    for (events, sink) in [(run.delivered, &first_sink), (run.events, &sink)] {
        client.execute(
            "insert into queue (data) select $1 from generate_series(1, $2::bigint)",
            &[&record(run.body), &i64::try_from(events).unwrap_or(0)],
        )?;
        client.batch_execute("analyze queue; checkpoint")?;
        queue_table::drain(&mut client, &Bare::start(&sink.url())?)?;
    }
    drop((client, holder));
    rig.cluster
        .connect("postgres")?
        .batch_execute("drop database queue_table with (force)")?;
    Ok(arrivals.per_second())
}

/// Returns an event's data as capture makes it, with text that compresses as little as that of [`insert`].
fn record(body: usize) -> String {
    let mut dice = fastrand::Rng::with_seed(1);
    let body: String = std::iter::repeat_with(|| dice.digit(16))
        .take(body)
        .collect();
    format!(
        r#"{{"op":"insert","schema":"public","table":"item","record":{{"number":12345,"body":"{body}"}}}}"#
    )
}

/// Compares pg_herald with the bare sender and the queue table.
pub fn compare(rig: &Rig, size: Size) -> Result<Finding> {
    let events = size.of(10_000, 100_000);
    let of = |backlog| Drain {
        events,
        ..Drain::of(backlog)
    };
    let (mut log, mut pending, mut bare, mut table) = (vec![], vec![], vec![], vec![]);
    for _ in 0..size.of(3, 5) {
        bare.push(bare_sender(&of(Backlog::InTheLog))?);
        log.push(ours(rig, &of(Backlog::InTheLog))?);
        pending.push(ours(rig, &of(Backlog::Pending))?);
        table.push(queue_table(rig, &of(Backlog::InTheLog))?);
    }
    Ok(Finding::new(
        format!("Drain of {events} events of 1 kB to one subscription"),
        vec![
            Figure::new(
                "the log, against the bare sender",
                "ratio",
                ratios(&log, &bare),
            )
            .at_least(0.5),
            Figure::new(
                "herald.pending, against the bare sender",
                "ratio",
                ratios(&pending, &bare),
            )
            .at_least(0.5),
            Figure::new(
                "the log, against a queue table",
                "ratio",
                ratios(&log, &table),
            ),
            Figure::new("the log", "events/s", log),
            Figure::new("herald.pending", "events/s", pending),
            Figure::new("a queue table behind the same sender", "events/s", table),
            Figure::new("the bare sender", "requests/s", bare),
        ],
    ))
}

/// Compares draining with and without an open snapshot that is older than all deliveries.
pub fn old_snapshot(rig: &Rig, size: Size) -> Result<Finding> {
    let (delivered, events) = (size.of(10_000, 1_000_000), size.of(10_000, 100_000));
    let run = |is_snapshot_held| Drain {
        delivered,
        events,
        is_snapshot_held,
        ..Drain::of(Backlog::InTheLog)
    };
    let (mut held, mut free) = (vec![], vec![]);
    for _ in 0..3 {
        free.push(ours(rig, &run(false))?);
        held.push(ours(rig, &run(true))?);
    }
    Ok(Finding::new(
        format!(
            "Drain of {events} events while a snapshot is open that is older than {delivered} deliveries by way of herald.pending"
        ),
        vec![
            Figure::new(
                "with the snapshot, against without",
                "ratio",
                ratios(&held, &free),
            )
            .at_least(0.9),
            Figure::new("with", "events/s", held),
            Figure::new("without", "events/s", free),
        ],
    ))
}

/// Compares draining after many delivered events with draining at first.
pub fn long_log(rig: &Rig, size: Size) -> Result<Finding> {
    let (delivered, events) = (size.of(20_000, 5_000_000), size.of(10_000, 100_000));
    let run = |delivered| Drain {
        delivered,
        events,
        ..Drain::of(Backlog::InTheLog)
    };
    let (mut long, mut empty) = (vec![], vec![]);
    for _ in 0..size.of(3, 1) {
        empty.push(ours(rig, &run(0))?);
        long.push(ours(rig, &run(delivered))?);
    }
    Ok(Finding::new(
        format!("Drain of {events} events with {delivered} delivered ones in the log"),
        vec![
            Figure::new(
                "with them, against an empty log",
                "ratio",
                ratios(&long, &empty),
            )
            .at_least(0.9),
            Figure::new("with them", "events/s", long),
            Figure::new("empty", "events/s", empty),
        ],
    ))
}
