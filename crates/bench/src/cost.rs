//! The cost of a watch for the writing transaction.

use std::time::Instant;

use herald_trial::{Pgbench, Result};

use crate::Finding;
use crate::finding::{Figure, ratios};
use crate::rig::{Bench, Rig};
use crate::size::Size;

const CLIENTS: u32 = 16;
const INSERT: &str = "insert into item (body) values (repeat('x', 100));";
const TABLE: &str =
    "create table item (id bigint generated always as identity primary key, body text)";

/// Measures single-row inserts, in transactions per second.
fn inserts(rig: &Rig, database: &str, seconds: u32) -> Result<f64> {
    let report = Pgbench::on(&rig.cluster, database)
        .script(INSERT)
        .option("--protocol=prepared")
        .clients(CLIENTS)
        .seconds(seconds)
        .run()?;
    Ok(report.tps)
}

/// Measures statements of `rows` rows in a session that has run one before, in microseconds per row.
fn statements(rig: &Rig, database: &str, rows: usize) -> Result<f64> {
    let mut client = rig.cluster.connect(database)?;
    let insert = client.prepare(
        "insert into item (body) select repeat('x', 100) from generate_series(1, $1::bigint)",
    )?;
    client.execute(&insert, &[&1_i64])?;
    let count = (2_000 / rows).max(1);
    let began_at = Instant::now();
    for _ in 0..count {
        client.execute(&insert, &[&i64::try_from(rows).unwrap_or(i64::MAX)])?;
    }
    Ok(began_at.elapsed().as_secs_f64() * 1e6 / (rows * count) as f64)
}

/// Measures a session's first statement, in milliseconds.
fn first_statement(rig: &Rig, database: &str) -> Result<f64> {
    let mut client = rig.cluster.connect(database)?;
    let began_at = Instant::now();
    client.batch_execute(INSERT)?;
    Ok(began_at.elapsed().as_secs_f64() * 1e3)
}

/// The databases to compare, and what they are called in a figure.
const SIDES: [(&str, &str); 4] = [
    ("cost_none", "no watch"),
    ("cost_one", "one watch"),
    ("cost_three", "three watches"),
    ("cost_stopped", "one watch and no worker"),
];

/// Makes the table, and its watches, in each database.
fn prepare_sides(rig: &Rig) -> Result<[Bench<'_>; 4]> {
    let mut plain = rig.bench("cost_none")?;
    plain.run(TABLE)?;
    let mut watched = rig.bench("cost_one")?;
    watched.run(&format!("{TABLE}; select herald.watch('item')"))?;
    let mut three = rig.bench("cost_three")?;
    three.run(&format!(
        "{TABLE}; select herald.watch('item', name => 'first'); select herald.watch('item', name => 'second'); select herald.watch('item', name => 'third')"
    ))?;
    let mut stopped = rig.bench("cost_stopped")?;
    stopped.run(&format!(
        "{TABLE}; select herald.watch('item'); select herald.stop_worker()"
    ))?;
    Ok([plain, watched, three, stopped])
}

/// Measures single-row inserts and large statements, with and without watches.
pub fn of_a_watch(rig: &Rig, size: Size) -> Result<Finding> {
    // Their databases are dropped with them.
    let _benches = prepare_sides(rig)?;
    let many = size.of(20_000, 100_000);
    let mut singles: [Vec<f64>; 4] = Default::default();
    let mut firsts: [Vec<f64>; 4] = Default::default();
    let mut hundreds: [Vec<f64>; 4] = Default::default();
    let mut large: [Vec<f64>; 4] = Default::default();
    for _ in 0..size.of(3, 7) {
        for (index, (name, _)) in SIDES.iter().enumerate() {
            singles[index].push(inserts(rig, name, size.of(2, 10))?);
            firsts[index].push(first_statement(rig, name)?);
            hundreds[index].push(statements(rig, name, 100)?);
            large[index].push(statements(rig, name, many)?);
        }
    }
    let against = |with: usize| ratios(&singles[with], &singles[0]);
    let mut figures = vec![
        Figure::new(
            "single-row inserts with a watch and no subscription, against without",
            "ratio",
            against(1),
        )
        .at_least(0.7),
        Figure::new("with three watches, against without", "ratio", against(2)),
        Figure::new(
            "with a watch and no worker, against without",
            "ratio",
            against(3),
        ),
    ];
    let of_rows = format!("statements of {many} rows");
    for (what, unit, values) in [
        ("single-row inserts", "transactions/s", singles),
        ("the first statement of a session", "ms", firsts),
        ("statements of 100 rows", "us a row", hundreds),
        (&of_rows, "us a row", large),
    ] {
        for ((_, side), values) in SIDES.iter().zip(values) {
            figures.push(Figure::new(format!("{what}, {side}"), unit, values));
        }
    }
    Ok(Finding::new(
        format!("Cost in the user's transaction, {CLIENTS} clients"),
        figures,
    ))
}
