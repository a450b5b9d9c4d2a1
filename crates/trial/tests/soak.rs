//! A steady load for a long time, with receivers that fail, come and go: nothing is lost, and nothing grows.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use common::{Database, cluster_with, receiver_with_receipts};
use herald_trial::receiver::{Answer, Request};
use herald_trial::statistics::slope;
use herald_trial::wait::eventually;
use herald_trial::workload::committed_changes;
use herald_trial::{Change, Mode, Receipts, Receiver, Verdict, Workload, at_size, figure};

/// Each transaction commits about 1.6 changes.
const TRANSACTIONS_A_SECOND: f64 = 125.0;
/// One change in this many is never accepted, so that dead letters exist.
const HOPELESS: i64 = 200;
/// One change in this many is not accepted at first.
const UNLUCKY: i64 = 20;
/// Excludes rings.
const IS_MUTABLE: &str = "t.relname !~ '^(event|attempt|window)_'";
/// The rings turn several times in an hour.
const RETENTION_SECONDS: f64 = 300.0;
/// Growth in KiB per hour that would show in a week, and exceeds what an allocator's rounding looks like in an hour.
const LARGEST_SLOPE: f64 = 4_096.0;

#[test]
fn a_long_run_with_failing_receivers_loses_nothing_and_does_not_grow() {
    let lasting = at_size(Duration::from_secs(5), Duration::from_secs(3_600));
    let cluster = cluster_with(&[("herald.retention", &format!("{RETENTION_SECONDS}s"))]);
    let steady = Endpoint::start(Mode::answer_with(fail_now_and_then));
    let flapping = Endpoint::start(Mode::ok());
    let mut db = Database::new(&cluster, "soak");
    let workload = Workload::prepare(&cluster, "soak")
        .expect("tables")
        .rate(TRANSACTIONS_A_SECOND);
    let wal_without = wal_a_change(&mut db, &workload);
    db.run("select herald.watch('trial.change')");
    let schedule = at_size(
        "{200 ms, 500 ms, 1 s}",
        "{1 s, 5 s, 15 s, 30 s, 60 s, 60 s}",
    );
    let options = format!("retry_schedule => '{schedule}', timeout => '2 s'");
    db.subscribe("steady", &steady.receiver, &options);
    db.subscribe("flapping", &flapping.receiver, &options);
    let worker = eventually(common::SOON, "the worker", || {
        cluster.worker_pid("soak").ok().flatten()
    });

    let before = changes_and_wal(&mut db);
    let running = workload.first_client(100).endless().start();
    let (began_at, mut samples) = (Instant::now(), Vec::new());
    while began_at.elapsed() < lasting {
        flapping.take_turn(began_at.elapsed());
        samples.push(Sample::take(&mut db, worker, began_at));
        std::thread::sleep(at_size(Duration::from_millis(100), Duration::from_secs(1)));
    }
    let tally = running.stop().expect("the load ends");
    let oldest: f64 = db
        .row(
            "select extract(epoch from clock_timestamp() - min(e.time))::float8 from herald.event e",
            &[],
        )
        .get(0);
    flapping.recover();
    db.settle_within(at_size(common::SOON, Duration::from_secs(1_200)));
    let after = changes_and_wal(&mut db);

    figure("seconds", lasting.as_secs());
    figure("transactions", format!("{tally:?}"));
    figure("oldest event in the log, s", format!("{oldest:.0}"));
    figure(
        "events a second",
        format!("{:.0}", (after.0 - before.0) / lasting.as_secs_f64()),
    );
    figure(
        "WAL bytes a change, and without pg_herald",
        format!(
            "{:.0}, {wal_without:.0}",
            (after.1 - before.1) / (after.0 - before.0)
        ),
    );
    let memory = report(&samples);
    figure(
        "mutable tables at last: bytes, dead rows, runs of autovacuum",
        db.text(&format!(
            "select string_agg(format('%s: %s, %s, %s', t.relname, pg_total_relation_size(t.relid), t.n_dead_tup,
                                      t.autovacuum_count), '; ' order by t.relname)
             from pg_stat_user_tables t where t.schemaname in ('herald', 'herald_internal') and {IS_MUTABLE}"
        )),
    );

    // The first changes were made before there were subscriptions.
    let mut committed = committed_changes(&mut db).expect("the truth");
    committed.retain(|change| change.client >= 100);
    for (name, endpoint) in [("steady", &steady), ("flapping", &flapping)] {
        endpoint.got_everything(name, &committed, &dead_letters(&mut db, name));
    }
    let hopeless = |change: &&Change| change.seq % HOPELESS == 0;
    let hopeless: BTreeSet<Change> = committed.iter().filter(hopeless).copied().collect();
    assert_eq!(dead_letters(&mut db, "steady"), hopeless);
    assert_eq!(db.count("herald.pending"), 0);
    // Two slots longer than the retention, and as long as housekeeping takes to get there.
    assert!(oldest < RETENTION_SECONDS * 1.2, "{oldest} s");
    assert_eq!(cluster.worker_pid("soak").expect("a look"), Some(worker));
    assert!(
        at_size(0.0, memory) <= LARGEST_SLOPE,
        "the worker's memory grows by {memory:.0} KiB an hour"
    );
}

struct Endpoint {
    receiver: Receiver,
    receipts: Receipts,
}

impl Endpoint {
    /// Asserts that each change was delivered or is a dead letter.
    fn got_everything(&self, name: &str, committed: &BTreeSet<Change>, dead: &BTreeSet<Change>) {
        let verdict = Verdict::with_excused(committed, &self.receipts, dead);
        figure(name, format!("{verdict}, {} dead letters", dead.len()));
        assert!(verdict.is_clean(), "{name}: {verdict}");
        // At worst, a lost response makes a dead letter of an accepted delivery.
        assert!(verdict.accepted + dead.len() >= committed.len());
        assert!(dead.is_subset(committed));
        assert_eq!(self.receiver.invalid_signatures(), 0);
    }

    fn start(mode: Mode) -> Self {
        let (receiver, receipts) = receiver_with_receipts(mode);
        Self { receiver, receipts }
    }

    /// Works for five turns of six, and then breaks, each time in another way.
    fn take_turn(&self, elapsed: Duration) {
        let turn = elapsed.as_millis() / at_size(250, 10_000);
        match turn % 18 {
            5 => self.receiver.set_mode(Mode::status(503)),
            11 => self.receiver.down(),
            17 => self.receiver.set_mode(Mode::hang_before_answer()),
            _ => self.recover(),
        }
    }

    fn recover(&self) {
        self.receiver.set_mode(Mode::ok());
        self.receiver.up().expect("the port is free");
    }
}

/// One sample of what might grow.
struct Sample {
    hours: f64,
    memory_kib: f64,
    xmin_age: i32,
    pending: i64,
    dead_rows: i64,
    mutable_bytes: i64,
    all_bytes: i64,
}

impl Sample {
    fn take(db: &mut Database, worker: i32, began_at: Instant) -> Self {
        let row = db.row(
            &format!(
                "select
                 (select coalesce(max(age(a.backend_xmin)), 0) from pg_stat_activity a
                  where a.backend_type like 'pg_herald worker%' and a.datname = current_database()),
                 (select count(*) from herald.pending),
                 sum(t.n_dead_tup) filter (where {IS_MUTABLE})::bigint,
                 sum(pg_total_relation_size(t.relid)) filter (where {IS_MUTABLE})::bigint,
                 sum(pg_total_relation_size(t.relid))::bigint
             from pg_stat_user_tables t
             where t.schemaname in ('herald', 'herald_internal')"
            ),
            &[],
        );
        Self {
            hours: began_at.elapsed().as_secs_f64() / 3_600.0,
            memory_kib: anonymous_memory(worker),
            xmin_age: row.get(0),
            pending: row.get(1),
            dead_rows: row.get(2),
            mutable_bytes: row.get(3),
            all_bytes: row.get(4),
        }
    }
}

/// Reports how each number in the samples went, and returns the slope of the memory in KiB per hour.
fn report(samples: &[Sample]) -> f64 {
    // What fills at first, such as caches, does not count as growth.
    let later = &samples[samples.len() / 4..];
    let most = |of: fn(&Sample) -> i64| samples.iter().map(of).max().unwrap_or_default();
    let grows = |of: fn(&Sample) -> f64| {
        let points: Vec<_> = later
            .iter()
            .map(|sample| (sample.hours, of(sample)))
            .collect();
        slope(&points)
    };
    let memory = grows(|sample| sample.memory_kib);
    figure(
        "anonymous memory, KiB at last",
        samples[samples.len() - 1].memory_kib,
    );
    figure("anonymous memory, KiB an hour", format!("{memory:.0}"));
    figure(
        "oldest snapshot of the worker, transactions",
        most(|sample| sample.xmin_age.into()),
    );
    figure("pending, most", most(|sample| sample.pending));
    figure("dead rows, most", most(|sample| sample.dead_rows));
    figure(
        "dead rows, an hour",
        format!("{:.0}", grows(|sample| sample.dead_rows as f64)),
    );
    figure(
        "mutable tables, bytes at most",
        most(|sample| sample.mutable_bytes),
    );
    figure(
        "mutable tables, bytes an hour",
        format!("{:.0}", grows(|sample| sample.mutable_bytes as f64)),
    );
    figure("all tables, bytes at most", most(|sample| sample.all_bytes));
    figure(
        "all tables, bytes an hour",
        format!("{:.0}", grows(|sample| sample.all_bytes as f64)),
    );
    memory
}

/// Returns the memory that only this process has, in KiB.
fn anonymous_memory(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse().ok())
        .expect("a number of KiB")
}

/// Fails the same changes whenever they come, so that chance makes no dead letter.
fn fail_now_and_then(request: &Request) -> Answer {
    let seq = Change::in_request(request).map_or(0, |change| change.seq);
    let is_unlucky = seq % UNLUCKY == 1 && request.attempt == 1;
    Answer::new(if seq % HOPELESS == 0 || is_unlucky {
        500
    } else {
        200
    })
}

/// Returns the WAL of a change before anything is watched.
fn wal_a_change(db: &mut Database, workload: &Workload) -> f64 {
    let before = changes_and_wal(db);
    let few = workload
        .clone()
        .rate(10_000.0)
        .transactions(at_size(50, 2_000));
    few.run().expect("a load");
    let after = changes_and_wal(db);
    (after.1 - before.1) / (after.0 - before.0)
}

fn changes_and_wal(db: &mut Database) -> (f64, f64) {
    let sql = "select count(*)::float8, (pg_current_wal_insert_lsn() - '0/0')::float8 from trial.committed";
    let row = db.row(sql, &[]);
    (row.get(0), row.get(1))
}

fn dead_letters(db: &mut Database, subscription: &str) -> BTreeSet<Change> {
    let sql = "select l.event::text from herald.dead_letter l where l.subscription = $1";
    let rows = db.query(sql, &[&subscription]).expect("dead letters");
    let events = rows.iter().map(|row| row.get::<_, String>(0));
    events
        .filter_map(|event| Change::in_event(&serde_json::from_str(&event).ok()?))
        .collect()
}
