//! Transactions that stay open or prepared for long, here and in another database: they delay no other events, make
//! reading the log no dearer, and their own events arrive when they commit.
//!
//! Two clusters do the same in turns; only one of them holds transactions open.

mod common;

use std::sync::mpsc::{Receiver as Arrivals, channel};
use std::time::{Duration, Instant};

use common::{Database, SECRET, SOON};
use herald_trial::clock::now_micros;
use herald_trial::receiver::Keep;
use herald_trial::statistics::at_rank;
use herald_trial::{Cluster, Receiver, at_size, figure};

/// Transactions that one cluster makes before the other's turn.
const ROUND: i64 = 20;
/// Committed at once, while the held transactions are open: a reader that starts where these began reads it all.
const BULK: i64 = 500;

#[test]
fn transactions_held_open_delay_nobody_else_and_are_delivered_when_they_commit() {
    let lasting = at_size(Duration::from_secs(2), Duration::from_secs(600));
    let (mut free, mut held) = (Side::start("free"), Side::start("held"));
    let began_at = Instant::now();
    let (mut kept, mut undone) = (held.session("held"), held.session("held"));
    for long in [&mut kept, &mut undone] {
        long.run("begin");
        long.emit("long.first");
    }
    for n in 0..5 {
        held.db.run("begin");
        held.db.emit(&format!("prepared.{n}"));
        held.db.run(&format!(
            "insert into note values (-{n}, 'prepared.{n}'); prepare transaction 'prepared-{n}'"
        ));
    }
    let mut elsewhere = held.session("postgres");
    elsewhere.run("begin; select pg_current_xact_id()");

    for side in [&mut free, &mut held] {
        side.commit_in_bulk();
        side.db.run("select pg_stat_statements_reset()");
    }
    let mut rounds = 0;
    while rounds < 4 || began_at.elapsed() < lasting {
        rounds += 1;
        free.commit_one_by_one();
        held.commit_one_by_one();
        if rounds % 2 == 0 {
            kept.emit(&format!("long.{rounds}"));
            undone.emit("long.undone");
        }
    }
    report(rounds, began_at.elapsed(), &mut free, &mut held);
    held.db.run("select pg_stat_statements_reset()");

    kept.run("commit");
    undone.run("rollback");
    for (n, end) in ["commit", "rollback", "commit", "rollback", "commit"]
        .into_iter()
        .enumerate()
    {
        held.db.run(&format!("{end} prepared 'prepared-{n}'"));
    }
    let mut expected = vec!["long.first".to_owned()];
    expected.extend((2..=rounds).step_by(2).map(|round| format!("long.{round}")));
    for n in [0, 2, 4] {
        // Emitted, and captured.
        expected.extend([format!("prepared.{n}"), format!("prepared.{n}")]);
    }
    let arrivals = expected
        .iter()
        .map_while(|_| held.arrivals.recv_timeout(SOON).ok());
    let mut came: Vec<String> = arrivals.map(|arrival| arrival.what).collect();
    came.sort();
    expected.sort();
    assert_eq!(came, expected);
    held.db.settle();
    assert_eq!(held.arrivals.try_iter().count(), 0);
    let (blocks, windows) = held.blocks_and_windows();
    figure(
        "held: blocks and windows to read it when it ends",
        format!("{blocks}, {windows}"),
    );
    elsewhere.run("commit");
}

/// Compares blocks, which are counted; only reports times.
fn report(rounds: i64, lasted: Duration, free: &mut Side, held: &mut Side) {
    figure("seconds held open", lasted.as_secs());
    figure("short transactions beside them", rounds * ROUND);
    let mut blocks = Vec::new();
    for (name, side) in [("nothing held", &mut *free), ("held", &mut *held)] {
        side.latencies.sort_unstable();
        let millis = |percent| at_rank(&side.latencies, percent) as f64 / 1_000.0;
        let (p50, p99) = (millis(50), millis(99));
        figure(
            &format!("{name}: commit to receipt, p50 and p99, ms"),
            format!("{p50:.2}, {p99:.2}"),
        );
        let (blocks_read, windows) = side.blocks_and_windows();
        let a_window = blocks_read / windows;
        figure(
            &format!("{name}: blocks a window"),
            format!("{a_window:.1}"),
        );
        blocks.push(a_window);
    }
    assert!(
        blocks[1] <= 1.5 * blocks[0],
        "to read a window takes {} blocks, and {} where nothing is held open",
        blocks[1],
        blocks[0]
    );
}

struct Arrival {
    what: String,
    at_micros: i64,
}

/// A cluster and the receiver of its events.
struct Side {
    arrivals: Arrivals<Arrival>,
    committed: i64,
    latencies: Vec<i64>,
    db: Database,
    _receiver: Receiver,
    cluster: Cluster,
}

impl Side {
    fn start(name: &str) -> Self {
        let cluster = Cluster::builder()
            .fsync(false)
            .setting("herald.sender_threads", "8")
            // This finds COMMIT PREPARED.
            .setting("herald.poll_interval", "1s")
            .setting("shared_preload_libraries", "pg_herald, pg_stat_statements")
            .start()
            .expect("a cluster");
        let (sender, arrivals) = channel();
        let receiver = Receiver::builder()
            .secret(SECRET)
            .keep(Keep::Counts)
            .observe(move |request| {
                let event = request.json();
                let words = event
                    .pointer("/data/record/words")
                    .unwrap_or(&event["type"]);
                let what = words.as_str().unwrap_or_default().to_owned();
                let at_micros = request.at_micros;
                // Nobody listens any longer if the test has failed.
                let _ = sender.send(Arrival { what, at_micros });
            })
            .start()
            .expect("a receiver");
        let mut db = Database::new(&cluster, name);
        db.run("create extension pg_stat_statements");
        db.watched_table();
        db.subscribe("shop", &receiver, "");
        Self {
            arrivals,
            committed: 0,
            latencies: Vec::new(),
            db,
            _receiver: receiver,
            cluster,
        }
    }

    fn session(&self, database: &str) -> Database {
        Database::of(&self.cluster, database)
    }

    fn commit_in_bulk(&mut self) {
        self.db.run(&format!(
            "insert into note select n, 'bulk' from generate_series(1, {BULK}) n"
        ));
        for _ in 0..BULK {
            assert_eq!(self.next_arrival().what, "bulk");
        }
        self.committed = BULK;
    }

    /// Receives each before the next begins, and nothing else.
    fn commit_one_by_one(&mut self) {
        for _ in 0..ROUND {
            self.committed += 1;
            let words = format!("short.{}", self.committed);
            self.db.run(&format!(
                "begin; insert into note values ({}, '{words}')",
                self.committed
            ));
            let at_micros = now_micros();
            self.db.run("commit");
            let arrival = self.next_arrival();
            assert_eq!(arrival.what, words);
            self.latencies.push(arrival.at_micros - at_micros);
            std::thread::sleep(at_size(Duration::ZERO, Duration::from_millis(25)));
        }
    }

    fn next_arrival(&self) -> Arrival {
        self.arrivals
            .recv_timeout(SOON)
            .expect("an event arrives while others are held back")
    }

    /// Returns how many blocks the worker's statement that reads a window looked at, and how often it ran.
    fn blocks_and_windows(&mut self) -> (f64, f64) {
        let sql = "select sum(shared_blks_hit + shared_blks_read)::float8, sum(calls)::float8 from pg_stat_statements
                   where query like '%not pg_catalog.pg_visible_in_snapshot(e.xid%' and calls > 0";
        let row = self.db.row(sql, &[]);
        (row.get(0), row.get(1))
    }
}

#[test]
fn a_log_without_subscriptions_is_read_a_few_times_per_second() {
    let mut side = Side::start("nobody");
    side.db.run("select herald.unsubscribe('shop')");
    side.db.settle();
    side.db.run("select pg_stat_statements_reset()");
    let began_at = Instant::now();
    for n in 0.. {
        if began_at.elapsed() > Duration::from_secs(1) {
            break;
        }
        side.db.run(&format!("insert into note values ({n}, '')"));
    }
    let looks = side.db.number(
        "select coalesce(sum(calls), 0) from pg_stat_statements where query like '%herald_internal.event_seq s%' and query like '%upper_seq%'",
    );
    let most = 10 + began_at.elapsed().as_millis() as i64 / 100;
    assert!((1..most).contains(&looks), "{looks} looks of {most}");
}
