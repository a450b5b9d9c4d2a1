//! Disk space taken by an event and its delivery.

use herald_trial::Result;

use crate::Finding;
use crate::arrivals::Arrivals;
use crate::drain::{BODY, insert, prepare};
use crate::finding::Figure;
use crate::rig::{Bench, PATIENCE, Rig, sink};
use crate::size::Size;

const WAL: &str = "select pg_current_wal_insert_lsn() - '0/0'";
const TABLES: &str = "select sum(pg_total_relation_size(inhrelid)) from pg_inherits
    where inhparent in ('herald.event'::regclass, 'herald_internal.attempt'::regclass, 'herald_internal.window'::regclass)";

/// Returns how much the query's number grows while `body` runs.
fn growth(
    bench: &mut Bench<'_>,
    query: &str,
    body: impl FnOnce(&mut Bench<'_>) -> Result<()>,
) -> Result<f64> {
    let before = bench.number(query)?;
    body(bench)?;
    Ok((bench.number(query)? - before) as f64)
}

/// Measures bytes per event captured, delivered once and recorded, excluding the watched row.
pub fn of_an_event(rig: &Rig, size: Size) -> Result<Finding> {
    let events = size.of(10_000, 100_000);
    let arrivals = Arrivals::new(0);
    let sink = sink(&arrivals)?;
    let mut bench = prepare(rig, "disk", &sink.url())?;
    let deliver = |bench: &mut Bench<'_>, so_far: usize| -> Result<()> {
        insert(bench, events, BODY)?;
        arrivals.wait_for(so_far + events, PATIENCE)?;
        bench.settle()
    };
    let space = growth(&mut bench, TABLES, |bench| deliver(bench, 0))?;
    let wal = growth(&mut bench, WAL, |bench| deliver(bench, events))?;
    bench.run("select herald.unwatch('item')")?;
    let row = growth(&mut bench, WAL, |bench| insert(bench, events, BODY))?;
    let each = |bytes: f64| vec![bytes / events as f64];
    Ok(Finding::new(
        "Disk for an event with 1 kB of data, delivered at once",
        vec![
            Figure::new(
                "in the log, the attempts and their indexes",
                "bytes",
                each(space),
            ),
            Figure::new(
                "WAL, without that of the row itself",
                "bytes",
                each(wal - row),
            ),
            Figure::new("WAL of the row itself", "bytes", each(row)),
        ],
    ))
}
