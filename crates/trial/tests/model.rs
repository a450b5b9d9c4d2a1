//! Random programs of transactions against a model: the events received are exactly the committed ones, whatever
//! savepoints, exceptions and prepared transactions did. The obvious reader, `seq > last`, runs beside it and loses
//! some.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Database, cluster_with, receiver_with_receipts};
use herald_trial::workload::{committed_changes, insert_change};
use herald_trial::{Change, Mode, Verdict, Workload, at_size, figure};

const SEED: u64 = 4;
const CLIENTS: i32 = 8;

#[test]
fn what_is_received_is_what_the_model_says_and_a_naive_cursor_loses_some() {
    let cluster = cluster_with(&[
        ("herald.sender_threads", "16"),
        ("herald.poll_interval", "100ms"),
    ]);
    let (receiver, receipts) = receiver_with_receipts(Mode::ok());
    let mut db = Database::new(&cluster, "model");
    let workload = Workload::prepare(&cluster, "model").expect("tables");
    db.run("select herald.watch('trial.change')");
    db.subscribe("shop", &receiver, "max_concurrency => 16");
    let (naive, is_over) = (
        Database::of(&cluster, "model"),
        Arc::new(AtomicBool::new(false)),
    );
    let naive = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || read_naively(naive, &is_over)
    });

    let tally = workload
        .clients(CLIENTS)
        .transactions(at_size(150, 1_250))
        .seed(SEED)
        .change(write_and_linger)
        .run()
        .expect("the programs run");
    db.settle();
    is_over.store(true, Ordering::SeqCst);
    let read_naively = naive.join().expect("the naive reader");

    let committed = committed_changes(&mut db).expect("the model");
    let verdict = Verdict::new(&committed, &receipts);
    let lost_naively = committed.difference(&read_naively).count();
    figure("seed", SEED);
    figure("programs", tally.committed + tally.rolled_back);
    figure("events committed", committed.len());
    figure(
        "lost, invented, duplicates",
        format!(
            "{}, {}, {}",
            verdict.lost.len(),
            verdict.phantom.len(),
            verdict.duplicates
        ),
    );
    figure("lost by the naive cursor", lost_naively);
    assert!(verdict.is_clean(), "seed {SEED}: {verdict}");
    assert_eq!(verdict.duplicates, 0);
    assert_eq!(receiver.invalid_signatures(), 0);
    assert!(
        tally.rolled_back > 100 && committed.len() > 1_000,
        "{tally:?}"
    );
    let emitted = "select count(*) from herald.event where type = 'change.emitted'";
    assert!(db.number(emitted) > 300 && (db.number(emitted) as usize) < committed.len() - 300);
    assert!(
        lost_naively > 0,
        "the trial was too tame for the naive cursor"
    );
    assert!(read_naively.is_subset(&committed));
}

/// Captures one half of the changes and emits the other. A third takes longer, so that numbers and commits come in
/// different orders.
fn write_and_linger(change: Change) -> String {
    let Change { client, seq } = change;
    let write = if seq % 2 == 0 {
        insert_change(change)
    } else {
        format!(
            "select herald.emit('change.emitted', '{{\"record\": {{\"client\": {client}, \"seq\": {seq}}}}}')"
        )
    };
    match (seq * 7 + i64::from(client) * 3) % 30 {
        millis @ 0..10 => format!("{write}; select pg_sleep(0.00{millis})"),
        _ => write,
    }
}

/// Polls for numbers above the last one seen, as a naive reader does.
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
