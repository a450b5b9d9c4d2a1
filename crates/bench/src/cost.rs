//! What a watch costs the transaction that writes.

use herald_trial::{Pgbench, Result};

use crate::Finding;
use crate::finding::{Figure, ratios};
use crate::rig::Rig;
use crate::size::Size;

const CLIENTS: u32 = 16;
const INSERT: &str = "insert into item (body) values (repeat('x', 100));";
const TABLE: &str =
    "create table item (id bigint generated always as identity primary key, body text)";

/// Transactions a second of single-row inserts.
fn inserts(rig: &Rig, database: &str, seconds: u32) -> Result<f64> {
    let report = Pgbench::on(&rig.cluster, database)
        .script(INSERT)
        .option("--protocol=prepared")
        .clients(CLIENTS)
        .seconds(seconds)
        .run()?;
    Ok(report.tps)
}

/// Microseconds a row of one statement.
fn statement(rig: &Rig, database: &str, rows: usize) -> Result<f64> {
    let mut client = rig.cluster.connect(database)?;
    let began_at = std::time::Instant::now();
    client.batch_execute(&format!(
        "insert into item (body) select repeat('x', 100) from generate_series(1, {rows})"
    ))?;
    Ok(began_at.elapsed().as_secs_f64() * 1e6 / rows as f64)
}

/// Single-row inserts and large statements, with watches and without.
pub fn of_a_watch(rig: &Rig, size: Size) -> Result<Finding> {
    let mut bench = rig.bench("cost_none")?;
    bench.run(TABLE)?;
    let mut one = rig.bench("cost_one")?;
    one.run(&format!("{TABLE}; select herald.watch('item')"))?;
    let mut three = rig.bench("cost_three")?;
    three.run(&format!(
        "{TABLE}; select herald.watch('item', name => 'first'); select herald.watch('item', name => 'second'); select herald.watch('item', name => 'third')"
    ))?;
    let mut stopped = rig.bench("cost_stopped")?;
    stopped.run(&format!(
        "{TABLE}; select herald.watch('item'); select herald.stop_worker()"
    ))?;
    let names = ["cost_none", "cost_one", "cost_three", "cost_stopped"];
    let mut singles: [Vec<f64>; 4] = Default::default();
    let mut hundreds: [Vec<f64>; 4] = Default::default();
    let mut large: [Vec<f64>; 4] = Default::default();
    for _ in 0..size.of(3, 5) {
        for (index, name) in names.iter().enumerate() {
            singles[index].push(inserts(rig, name, size.of(3, 20))?);
            hundreds[index].push(statement(rig, name, 100)?);
            large[index].push(statement(rig, name, size.of(20_000, 100_000))?);
        }
    }
    let [without, with, with_three, unread] = singles;
    let mut figures = vec![
        Figure::new(
            "single-row inserts with a watch and no subscription, against without",
            "ratio",
            ratios(&with, &without),
        )
        .at_least(0.7),
        Figure::new(
            "with three watches, against without",
            "ratio",
            ratios(&with_three, &without),
        ),
        Figure::new(
            "with a watch and no worker, against without",
            "ratio",
            ratios(&unread, &without),
        ),
        Figure::new("without a watch", "transactions/s", without),
        Figure::new("with one", "transactions/s", with),
        Figure::new("with three", "transactions/s", with_three),
    ];
    for (what, values) in [("100 rows", hundreds), ("many rows", large)] {
        for (watches, values) in ["no watch", "one", "three", "one and no worker"]
            .iter()
            .zip(values)
        {
            figures.push(Figure::new(
                format!("a statement of {what}, {watches}"),
                "us a row",
                values,
            ));
        }
    }
    Ok(Finding::new(
        format!("Cost in the user's transaction, {CLIENTS} clients"),
        figures,
    ))
}
