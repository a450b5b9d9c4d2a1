//! The harness's own workloads, without the extension: the truth is what the database holds, even after crashes.

use std::time::Duration;

use herald_trial::workload::committed_changes;
use herald_trial::{Cluster, Pgbench, Result, StopMode, Workload, eventually};

/// Counts the rows that only one of `trial.change` and the truth has.
const DIFFERENCES: &str =
    "select count(*) from trial.change full join trial.committed using (client, seq)
                           where change.ctid is null or committed.ctid is null";

fn bare_cluster() -> Result<Cluster> {
    Cluster::builder()
        .preload(false)
        .setting("shared_buffers", "16MB")
        .start()
}

#[test]
fn the_truth_equals_the_table_after_commits_rollbacks_and_savepoints() -> Result<()> {
    let cluster = bare_cluster()?;
    let mut client = cluster.create_database("truth")?;
    let tally = Workload::prepare(&cluster, "truth")?
        .clients(4)
        .transactions(50)
        .seed(3)
        .run()?;
    assert_eq!(
        (tally.committed + tally.rolled_back, tally.unknown),
        (200, 0)
    );
    assert!(tally.rolled_back > 10);
    assert_eq!(client.query_one(DIFFERENCES, &[])?.get::<_, i64>(0), 0);
    let table: i64 = client
        .query_one("select count(*) from trial.change", &[])?
        .get(0);
    assert_eq!(
        committed_changes(&mut client)?.len(),
        usize::try_from(table).unwrap()
    );
    Ok(())
}

#[test]
fn a_workload_goes_on_after_a_crash() -> Result<()> {
    let cluster = bare_cluster()?;
    let mut client = cluster.create_database("crash")?;
    let running = Workload::prepare(&cluster, "crash")?
        .endless()
        .rate(500.0)
        .start();
    let deadline = Duration::from_secs(20);
    eventually(deadline, "50 changes", || {
        (committed_changes(&mut client).ok()?.len() >= 50).then_some(())
    });
    cluster.kill9_postmaster()?;
    cluster.start()?;
    cluster.restart(StopMode::Immediate)?;
    let mut client = cluster.connect("crash")?;
    let before = committed_changes(&mut client)?.len();
    eventually(deadline, "more changes", || {
        (committed_changes(&mut client).ok()?.len() > before + 50).then_some(())
    });
    let tally = running.stop()?;
    assert!(tally.reconnects >= 4, "{tally:?}");
    assert_eq!(client.query_one(DIFFERENCES, &[])?.get::<_, i64>(0), 0);
    Ok(())
}

#[test]
fn pgbench_reports_what_it_did() -> Result<()> {
    let cluster = bare_cluster()?;
    cluster.create_database("bench")?;
    let bench = Pgbench::on(&cluster, "bench")
        .init(1)?
        .clients(2)
        .transactions(20);
    let report = bench.run()?;
    assert_eq!((report.transactions, report.failed), (40, 0));
    assert!(report.tps > 0.0 && !report.latency_average.is_zero());
    assert_eq!(bench.script("select :client_id;").run()?.transactions, 40);
    assert!(
        Pgbench::on(&cluster, "bench")
            .script("select nonsense;")
            .run()
            .is_err()
    );
    Ok(())
}
