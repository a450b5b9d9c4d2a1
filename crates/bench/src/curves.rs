//! Curves of throughput and latency as one parameter grows, beside the queue table's.

use std::sync::Arc;
use std::time::Duration;

use herald_trial::{Mode, Receiver, Result};

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::drain::{self, Backlog, Drain};
use crate::finding::Figure;
use crate::rig::{Rig, THREADS};
use crate::size::Size;

/// A diagram: one line per design, through points (x, y).
#[derive(Debug)]
pub struct Curve {
    /// The name of its file.
    pub name: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

const OURS: &str = "pg_herald";
const TABLE: &str = "queue table";
const BARE: &str = "bare sender";
const PER_SECOND: &str = "events/s";

/// Makes each point of each line a figure, too.
fn finding(title: &str, curves: Vec<Curve>) -> Finding {
    let mut figures = Vec::new();
    for curve in &curves {
        for (line, points) in &curve.lines {
            for (x, y) in points {
                let what = format!(
                    "{}, {} {}: {line}",
                    curve.title,
                    crate::finding::rounded(*x),
                    curve.x
                );
                figures.push(Figure::new(what, curve.y, vec![*y]));
            }
        }
    }
    Finding {
        title: title.to_owned(),
        figures,
        curves,
    }
}

/// Varies the size of the events' data.
pub fn by_payload(rig: &Rig, size: Size) -> Result<Finding> {
    let (mut ours, mut table, mut bare) = (vec![], vec![], vec![]);
    for kilobytes in size.of(vec![1.0, 64.0], vec![0.2, 1.0, 4.0, 16.0, 64.0, 256.0]) {
        let body = (kilobytes * 1_000.0) as usize - 150;
        let events = (size.of(20e6_f64, 200e6) / (kilobytes * 1_000.0))
            .clamp(200.0, size.of(5e3, 50e3)) as usize;
        let run = Drain {
            body,
            events,
            ..Drain::of(Backlog::InTheLog)
        };
        ours.push((kilobytes, drain::ours(rig, &run)?));
        table.push((kilobytes, drain::queue_table(rig, &run)?));
        bare.push((kilobytes, drain::bare_sender(&run)?));
    }
    Ok(finding(
        "Throughput by payload",
        vec![Curve {
            name: "payload",
            title: "Drain by payload",
            x: "kB of data",
            y: PER_SECOND,
            lines: vec![(OURS, ours), (TABLE, table), (BARE, bare)],
        }],
    ))
}

/// Varies the number of subscriptions; each event goes to one of them.
pub fn by_subscriptions(rig: &Rig, size: Size) -> Result<Finding> {
    let events = size.of(5_000, 50_000);
    let mut ours = Vec::new();
    for subscriptions in size.of(vec![1, 100], vec![1, 10, 100, 1_000, 10_000]) {
        ours.push((
            subscriptions as f64,
            one_of_many(rig, subscriptions, events)?,
        ));
    }
    Ok(finding(
        "Throughput by subscriptions",
        vec![Curve {
            name: "subscriptions",
            title: "Drain by number of subscriptions",
            x: "subscriptions",
            y: PER_SECOND,
            lines: vec![(OURS, ours)],
        }],
    ))
}

fn one_of_many(rig: &Rig, subscriptions: usize, events: usize) -> Result<f64> {
    let arrivals = Arrivals::new(0);
    let sink = crate::rig::sink(&arrivals)?;
    let mut bench = rig.bench("subscriptions")?;
    bench.run(&format!(
        "select herald.subscribe('sub.' || n, url => '{url}', types => array['type.' || n], max_concurrency => {THREADS})
         from generate_series(0, {subscriptions} - 1) n",
        url = sink.url()
    ))?;
    bench.settle()?;
    bench.run("select herald.stop_worker()")?;
    bench.run(&format!(
        "select herald.emit('type.' || n % {subscriptions}, jsonb_build_object('body', repeat('x', 850)))
         from generate_series(0, {events} - 1) n"
    ))?;
    bench.run("checkpoint; select herald.start_worker()")?;
    arrivals.wait_for(events, crate::rig::PATIENCE)?;
    bench.settle()?;
    Ok(arrivals.per_second())
}

/// Varies how many requests of a subscription may run at once.
pub fn by_concurrency(rig: &Rig, size: Size) -> Result<Finding> {
    let mut ours = Vec::new();
    for concurrency in size.of(vec![4, 64], vec![1, 4, 16, 64]) {
        let run = Drain {
            concurrency,
            events: size.of(5_000, 50_000),
            ..Drain::of(Backlog::InTheLog)
        };
        ours.push((concurrency as f64, drain::ours(rig, &run)?));
    }
    Ok(finding(
        "Throughput by concurrency",
        vec![Curve {
            name: "concurrency",
            title: "Drain by max_concurrency",
            x: "requests under way",
            y: PER_SECOND,
            lines: vec![(OURS, ours)],
        }],
    ))
}

/// Varies the receiver's response time, beside the most that the threads allow.
pub fn by_receiver(rig: &Rig, size: Size) -> Result<Finding> {
    let (mut ours, mut most) = (Vec::new(), Vec::new());
    for millis in size.of(vec![100_u64], vec![10, 100, 1_000]) {
        let limit = THREADS as f64 / (millis as f64 / 1e3);
        let events = (limit * size.of(2.0, 20.0)) as usize;
        let counted = Arrivals::new(0);
        let observer = {
            let counted = Arc::clone(&counted);
            move |_: &herald_trial::receiver::Request| counted.note_one()
        };
        let receiver = Receiver::builder()
            .keep(herald_trial::receiver::Keep::Counts)
            .mode(Mode::delayed(Duration::from_millis(millis)))
            .observe(observer)
            .start()?;
        let mut bench = drain::prepare(rig, "receiver", &receiver.url("/"))?;
        // Prove the lane, which starts with one request at a time.
        drain::insert(&mut bench, 1, 850)?;
        bench.settle()?;
        let run = Drain {
            events,
            ..Drain::of(Backlog::InTheLog)
        };
        counted.forget();
        ours.push((millis as f64, drain::drain(&mut bench, &counted, &run)?));
        most.push((millis as f64, limit));
    }
    Ok(finding(
        "Throughput by the receiver's latency",
        vec![Curve {
            name: "receiver",
            title: "Drain by the time a receiver takes",
            x: "ms",
            y: PER_SECOND,
            lines: vec![(OURS, ours), ("64 requests at once", most)],
        }],
    ))
}

/// Varies the history in log and queue, with and without a snapshot open since before it.
pub fn by_history(rig: &Rig, size: Size) -> Result<Finding> {
    let before = size.of(vec![0, 10_000], vec![0, 10_000, 100_000, 1_000_000]);
    let events = size.of(5_000, 50_000);
    let mut lines = [(); 4].map(|()| Vec::new());
    for delivered in before {
        let run = |is_snapshot_held| Drain {
            delivered,
            events,
            is_snapshot_held,
            ..Drain::of(Backlog::InTheLog)
        };
        let x = delivered as f64;
        lines[0].push((x, drain::ours(rig, &run(false))?));
        lines[1].push((x, drain::queue_table(rig, &run(false))?));
        lines[2].push((x, drain::ours(rig, &run(true))?));
        // A million would take most of an hour.
        if delivered <= 100_000 {
            lines[3].push((x, drain::queue_table(rig, &run(true))?));
        }
    }
    let [ours, table, ours_held, table_held] = lines;
    Ok(finding(
        "Throughput by history",
        vec![
            Curve {
                name: "log",
                title: "Drain by what was delivered before",
                x: "events delivered before",
                y: PER_SECOND,
                lines: vec![(OURS, ours), (TABLE, table)],
            },
            Curve {
                name: "snapshot",
                title: "Drain with a snapshot open since before",
                x: "events delivered since the snapshot",
                y: PER_SECOND,
                lines: vec![(OURS, ours_held), (TABLE, table_held)],
            },
        ],
    ))
}
