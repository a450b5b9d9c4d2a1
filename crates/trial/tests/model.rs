//! Random programs of transactions against a model: the events received are exactly the committed ones. The reader
//! that everybody writes first, `seq > last`, is run beside it and loses some.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Database, SECRET};
use herald_trial::receiver::Keep;
use herald_trial::workload::committed_changes;
use herald_trial::{Change, Cluster, Receipts, Receiver, Verdict, Workload};

const SEED: u64 = 4;

#[test]
fn what_is_received_is_what_the_model_says_and_a_naive_cursor_loses_some() {
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("herald.sender_threads", "16")
        .setting("herald.poll_interval", "100ms")
        .start()
        .expect("a cluster");
    let receipts = Receipts::default();
    let receiver = Receiver::builder()
        .secret(SECRET)
        .keep(Keep::Counts)
        .observe(receipts.observer())
        .start()
        .expect("a receiver");
    let mut db = Database::new(&cluster, "model");
    let workload = Workload::prepare(&cluster, "model").expect("tables");
    db.run("select herald.watch('trial.change')");
    db.subscribe("shop", &receiver.url("/"), "max_concurrency => 16");
    let (naive, is_over) = (
        Database::of(&cluster, "model"),
        Arc::new(AtomicBool::new(false)),
    );
    let naive = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || read_naively(naive, &is_over)
    });

    // A third of the changes takes its time, so that numbers and commits come in different orders.
    let tally = workload
        .clients(8)
        .transactions(150)
        .seed(SEED)
        .change(|session, change| {
            session.execute(
                "insert into trial.change (client, seq) values ($1, $2)",
                &[&change.client, &change.seq],
            )?;
            let pause = (change.seq * 7 + i64::from(change.client) * 3) % 30;
            let pause = if pause < 10 {
                pause as f64 / 1_000.0
            } else {
                0.0
            };
            session.execute("select pg_sleep($1)", &[&pause]).map(drop)
        })
        .run()
        .expect("the programs run");
    db.settle();
    is_over.store(true, Ordering::SeqCst);
    let read_naively = naive.join().expect("the naive reader");

    let committed = committed_changes(&mut db).expect("the model");
    let verdict = Verdict::new(&committed, &receipts);
    let lost_naively = committed.difference(&read_naively).count();
    println!("{verdict}; {tally:?}; the naive cursor lost {lost_naively}");
    assert!(verdict.is_clean(), "seed {SEED}: {verdict}");
    assert_eq!(verdict.duplicates, 0);
    assert_eq!(receiver.invalid_signatures(), 0);
    assert!(
        tally.rolled_back > 100 && committed.len() > 1_000,
        "{tally:?}"
    );
    assert!(
        lost_naively > 0,
        "the trial was too tame for the naive cursor"
    );
    assert!(read_naively.is_subset(&committed));
}

/// Polls for numbers above the last one seen, as one would without knowing better.
fn read_naively(mut db: Database, is_over: &AtomicBool) -> BTreeSet<Change> {
    let sql =
        "select seq, (data -> 'record' ->> 'client')::int, (data -> 'record' ->> 'seq')::bigint
               from herald.event where seq > $1 order by seq";
    let (mut last, mut read) = (0i64, BTreeSet::new());
    loop {
        let was_over = is_over.load(Ordering::SeqCst);
        for row in db.query(sql, &[&last]).expect("a poll") {
            last = row.get(0);
            read.insert(Change {
                client: row.get(1),
                seq: row.get(2),
            });
        }
        if was_over {
            return read;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
