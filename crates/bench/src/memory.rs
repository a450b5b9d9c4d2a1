//! The worker's needs: memory under load, and any resources at all when idle.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use herald_trial::{Error, Mode, Receiver, Result};

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::drain::{insert, prepare};
use crate::finding::Figure;
use crate::rig::{Bench, PATIENCE, Rig, sink};
use crate::size::Size;

/// Returns the memory that only this process has, in MB.
fn anonymous_memory(pid: i32) -> Result<f64> {
    let kib = status(&format!("/proc/{pid}/status"), "RssAnon:")?;
    Ok(kib / 1_024.0)
}

fn status(file: &str, label: &str) -> Result<f64> {
    let text = fs::read_to_string(file).map_err(|source| Error::Io {
        what: format!("reading {file}"),
        source,
    })?;
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| Error::Setup(format!("{file} has no {label}")))
}

/// Returns the processor time of a process's main thread, in seconds.
pub fn processor_time(pid: i32) -> Result<f64> {
    let file = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&file).map_err(|source| Error::Io {
        what: format!("reading {file}"),
        source,
    })?;
    let nanos: f64 = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(f64::NAN);
    Ok(nanos / 1e9)
}

/// Returns the process's peak memory while `body` runs.
fn most_during(pid: i32, body: impl FnOnce() -> Result<()>) -> Result<f64> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0.0_f64;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(anonymous_memory(pid).unwrap_or(0.0));
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let done = body();
        is_over.store(true, Ordering::Relaxed);
        let most = watcher
            .join()
            .map_err(|_| Error::Setup("the watcher panicked".to_owned()))?;
        done.map(|()| most)
    })
}

pub fn of_the_worker(rig: &Rig, size: Size) -> Result<Finding> {
    let (pending, rows) = (size.of(20_000, 1_000_000), size.of(50_000, 5_000_000));
    let dead = Receiver::builder()
        .mode(Mode::hang_before_answer())
        .start()?;
    let mut bench = prepare(rig, "memory", &dead.url("/"))?;
    let worker = bench.worker()?;
    let at_rest = anonymous_memory(worker)?;
    let with_pending = most_during(worker, || {
        insert(&mut bench, pending, 850)?;
        bench.until("select count(*) from herald.pending", pending)
    })?;
    drop(bench);
    drop(dead);

    let arrivals = Arrivals::new(0);
    let sink = sink(&arrivals)?;
    let mut bench = prepare(rig, "memory", &sink.url())?;
    let worker = bench.worker()?;
    let with_rows = most_during(worker, || {
        insert(&mut bench, rows, 100)?;
        arrivals.wait_for(rows, PATIENCE)
    })?;
    bench.settle()?;
    drop(bench);

    let many = size.of(2_000, 10_000);
    let mut bench = prepare(rig, "memory", &sink.url())?;
    let worker = bench.worker()?;
    subscribe_with_filters(&mut bench, many)?;
    bench.settle()?;
    let with_filters = anonymous_memory(worker)?;

    Ok(Finding::new(
        "Memory of the worker's process alone",
        vec![
            Figure::new("anonymous memory at its start", "MB", vec![at_rest]),
            Figure::new(
                format!("the most with {pending} pending of a dead receiver"),
                "MB",
                vec![with_pending],
            )
            .at_most(200.0),
            Figure::new(
                format!("the most during and after a transaction of {rows} rows"),
                "MB",
                vec![with_rows],
            )
            .at_most(200.0),
            Figure::new(
                format!("with {many} subscriptions with filters on data"),
                "MB",
                vec![with_filters],
            )
            .at_most(100.0),
        ],
    ))
}

/// Creates subscriptions with filters of a few conditions, and has the worker load them for an event.
fn subscribe_with_filters(bench: &mut Bench<'_>, many: usize) -> Result<()> {
    bench.run(&format!(
        "select herald.subscribe(
             'sub.' || n, url => 'http://127.0.0.1:9/' || n, types => '{{other.*}}',
             filter => jsonb_build_object('data', jsonb_build_object(
                 'status', jsonb_build_array('paid', 'sent'), 'customer', n, 'total', '>= ' || n)))
         from generate_series(1, {many}) n"
    ))?;
    insert(bench, 1, 100)
}

/// Measures what the server uses while idle.
pub fn of_an_idle_worker(rig: &Rig, size: Size) -> Result<Finding> {
    let arrivals = Arrivals::new(0);
    let sink = sink(&arrivals)?;
    let mut bench = prepare(rig, "idle", &sink.url())?;
    let worker = bench.worker()?;
    insert(&mut bench, 1_000, 850)?;
    arrivals.wait_for(1_000, PATIENCE)?;
    bench.settle()?;
    // Autovacuum also maintains PostgreSQL's own catalogs and takes transaction ids for that, with or without a worker.
    rig.cluster.set("autovacuum", "off")?;
    bench.run("vacuum (analyze)")?;
    // Wait until housekeeping has looked at everything once.
    thread::sleep(Duration::from_secs(2));
    let idle = Duration::from_secs(size.of(10, 3_600));
    let state = |bench: &mut Bench<'_>| -> Result<(i64, i64, f64)> {
        Ok((
            bench.number("select pg_snapshot_xmax(pg_current_snapshot())::text")?,
            bench.number("select pg_current_wal_insert_lsn() - '0/0'")?,
            processor_time(worker)?,
        ))
    };
    let before = state(&mut bench)?;
    thread::sleep(idle);
    let after = state(&mut bench)?;
    rig.cluster.set("autovacuum", "on")?;
    let seconds = idle.as_secs();
    Ok(Finding::new(
        format!("{seconds} s in which nothing happens, of the whole cluster, without autovacuum"),
        vec![
            Figure::new("transaction ids", "", vec![(after.0 - before.0) as f64]).at_most(0.0),
            Figure::new("WAL", "bytes", vec![(after.1 - before.1) as f64]),
            Figure::new("the worker's processor time", "s", vec![after.2 - before.2]).at_most(1.0),
        ],
    ))
}
