//! Isolation: dead endpoints keep to their share, and endpoints that answer do not notice.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{Database, SECRET, SOON, cluster_with, receiver, receiver_with};
use herald_trial::clock::now_micros;
use herald_trial::receiver::Keep;
use herald_trial::wait::eventually_holds;
use herald_trial::{Cluster, Mode, Receiver, at_size, figure};
use postgres::NoTls;

/// Time between two events of a healthy subscription's round: 200 per second.
const PACE: Duration = Duration::from_millis(5);

/// A database with healthy subscriptions, each with its own table and receiver.
struct Healthy {
    db: Database,
    receivers: Vec<Receiver>,
    inserted: Vec<i64>,
}

impl Healthy {
    fn new(cluster: &Cluster, name: &str, subscriptions: usize) -> Self {
        let mut db = Database::new(cluster, name);
        let mut receivers = Vec::new();
        for n in 0..subscriptions {
            let receiver = receiver();
            db.run(&format!(
                "create table order_{n} (id int primary key); select herald.watch('order_{n}')"
            ));
            let types = format!("types => '{{public.order_{n}.*}}'");
            db.subscribe(&format!("healthy.{n}"), &receiver, &types);
            receivers.push(receiver);
        }
        let mut healthy = Self {
            db,
            receivers,
            inserted: Vec::new(),
        };
        healthy.round(subscriptions);
        healthy
    }

    /// Commits `commits` times in turn, and returns the time in ms from each commit to its receipt.
    fn round(&mut self, commits: usize) -> Vec<f64> {
        let first = self.inserted.len();
        let began_at = Instant::now();
        for n in 0..commits {
            let due = PACE * u32::try_from(n).expect("a small number");
            thread::sleep(due.saturating_sub(began_at.elapsed()));
            let (id, table) = (first + n, n % self.receivers.len());
            let insert = format!("insert into order_{table} values ({id})");
            let mut transaction = self.db.transaction().expect("a transaction");
            transaction.batch_execute(&insert).expect("an insert");
            self.inserted.push(now_micros());
            transaction.commit().expect("a commit");
        }
        let total = self.inserted.len();
        self.receivers[0].wait_until("all receipts", |_| self.accepted() == total, SOON);
        let requests = self.receivers.iter().flat_map(Receiver::requests);
        requests
            .filter_map(|request| {
                let id = request.json().pointer("/data/record/id")?.as_u64()?;
                let id = usize::try_from(id).ok()?;
                (id >= first).then(|| (request.at_micros - self.inserted[id]) as f64 / 1_000.0)
            })
            .collect()
    }

    fn accepted(&self) -> usize {
        self.receivers.iter().map(Receiver::accepted).sum()
    }
}

/// Plays rounds with and without the disturbance, in turn, so that the machine is the same for both.
fn compare(alone: &mut Healthy, beside: &mut Healthy, what: &str) {
    let (mut undisturbed, mut disturbed) = (Vec::new(), Vec::new());
    for _ in 0..at_size(2, 20) {
        let commits = at_size(40, 500);
        undisturbed.extend(alone.round(commits));
        disturbed.extend(beside.round(commits));
    }
    say("commit to receipt alone", &undisturbed);
    say(&format!("commit to receipt beside {what}"), &disturbed);
    let ratio = quantile(&disturbed, 0.99) / quantile(&undisturbed, 0.99);
    figure(&format!("p99 beside {what} / alone"), format!("{ratio:.2}"));
}

fn say(what: &str, latencies: &[f64]) {
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|q| quantile(latencies, q));
    let value = format!("{p50:.2} p50, {p99:.2} p99, {most:.2} most");
    figure(&format!("{what}, ms of {}", latencies.len()), value);
}

fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

#[test]
fn a_dead_endpoint_with_a_backlog_keeps_to_its_share_and_healthy_ones_are_delivered() {
    const CONCURRENCY: u64 = 10;
    let timeout = Duration::from_secs(30);
    let backlog = at_size(2_000, 100_000);
    let cluster = Cluster::builder().start().expect("a cluster");
    let mut alone = Healthy::new(&cluster, "alone", 10);
    let mut beside = Healthy::new(&cluster, "beside", 10);
    let dead = Receiver::builder()
        .keep(Keep::Counts)
        .start()
        .expect("a receiver");
    let options =
        format!("types => '{{doomed}}', timeout => '30 s', max_concurrency => {CONCURRENCY}");
    beside.db.subscribe("dead", &dead, &options);
    // It dies while the worker trusts it.
    beside.db.emit("doomed");
    dead.wait_for(1, SOON);
    dead.set_mode(Mode::hang_before_answer());
    let died_at = Instant::now();
    beside.db.run(&format!(
        "select herald.emit('doomed', '{{}}') from generate_series(1, {backlog})"
    ));
    let arriving = beside.round(at_size(40, 1_000));
    say("commit to receipt while the backlog arrives", &arriving);
    dead.wait_until(
        "its share of requests",
        |dead| dead.total() > CONCURRENCY,
        SOON,
    );

    compare(&mut alone, &mut beside, "a dead endpoint");

    let rounds = 1 + died_at.elapsed().as_secs() / timeout.as_secs();
    let sent = dead.total() - 1;
    figure("requests to the dead endpoint", sent);
    assert!(sent <= CONCURRENCY * rounds, "{sent} in {rounds} timeouts");
    let waiting = "select count(*) from herald.pending p join herald.subscription s on s.id = p.subscription_id
                   where s.name = 'dead'";
    let least = backlog - i64::try_from(CONCURRENCY).expect("a small number");
    let left = eventually_holds(
        SOON,
        "the backlog",
        || beside.db.number(waiting),
        |left| *left >= least,
    );
    figure("backlog of the dead endpoint at the end", left);
}

#[test]
fn a_hundred_hanging_endpoints_leave_a_healthy_one_its_speed() {
    const THREADS: u64 = 8;
    let cluster = common::cluster();
    let mut alone = Healthy::new(&cluster, "alone", 1);
    let mut beside = Healthy::new(&cluster, "beside", 1);
    let hanging = Receiver::builder()
        .keep(Keep::Counts)
        .mode(Mode::hang_before_answer())
        .start()
        .expect("a receiver");
    let began_at = Instant::now();
    beside.db.run(&format!(
        "select herald.subscribe('hangs.' || n, url => '{}', secret => '{SECRET}', types => '{{doomed}}')
         from generate_series(1, 100) n",
        hanging.url("/")
    ));
    beside
        .db
        .run("select herald.emit('doomed') from generate_series(1, 5)");
    hanging.wait_until("hanging requests", |receiver| receiver.total() >= 4, SOON);

    compare(&mut alone, &mut beside, "a hundred hanging ones");

    // Half of the threads for young requests, and the overflow.
    let rounds = 1 + began_at.elapsed().as_secs() / 30;
    let sent = hanging.total();
    figure("requests to the hanging endpoints", sent);
    assert!(
        sent <= (THREADS / 2 + THREADS) * rounds,
        "{sent} in {rounds} timeouts"
    );
}

#[test]
fn pings_of_a_hanging_endpoint_leave_threads_to_deliveries() {
    let cluster = common::cluster();
    let hanging = receiver_with(Mode::hang_before_answer());
    let mut healthy = Healthy::new(&cluster, "pinged", 1);
    let options = "types => '{never}', timeout => '1 min'";
    for n in 0..4 {
        healthy
            .db
            .subscribe(&format!("hangs.{n}"), &hanging, options);
    }
    healthy.db.run("create role another superuser login");
    thread::scope(|scope| {
        // As many as the worker has threads, and as two roles may ask for.
        for n in 0..16 {
            let cluster = &cluster;
            scope.spawn(move || {
                let role = ["postgres", "another"][n % 2];
                let session = cluster.config("pinged").user(role).connect(NoTls);
                let ping = format!("select herald.ping('hangs.{}', timeout => '1 min')", n / 4);
                let _ = session.expect("a session").batch_execute(&ping);
            });
        }
        let asking = "select count(*) from pg_stat_activity where query like 'select herald.ping%' and wait_event = 'Extension'";
        healthy.db.until(asking, "16");
        // All threads of the overflow, and half of the others.
        hanging.wait_until("hanging pings", |hanging| hanging.total() >= 12, SOON);
        healthy.round(20);
        // These two roles have reached their limit; other roles have their own.
        for ping in ["hangs.0", "healthy.0"] {
            let refused = healthy.db.refusal(&format!("select herald.ping('{ping}')"));
            assert_eq!(refused.message(), "too many pings are under way");
        }
        healthy.db.run("create role third superuser login");
        let mut third = healthy.db.session_as(&cluster, "third");
        let ping = |name: &str| format!("select outcome from herald.ping('{name}')");
        assert_eq!(third.text(&ping("healthy.0")), "delivered");
        let refused = third.refusal(&ping("hangs.0"));
        assert_eq!(refused.message(), "too many pings are under way");
        healthy.db.run(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select herald.ping%'",
        );
    });
}

#[test]
fn a_backlog_of_large_events_that_nobody_takes_keeps_no_event_from_being_read() {
    let cluster = common::cluster();
    let mut db = Database::new(&cluster, "large_backlog");
    let hanging = receiver_with(Mode::hang_before_answer());
    for n in 1..=2 {
        db.subscribe(
            &format!("hangs.{n}"),
            &hanging,
            "types => '{large}', timeout => '5 min'",
        );
    }
    let neighbour = receiver();
    db.subscribe("neighbour", &neighbour, "types => '{other}'");
    db.run("select herald.pause('hangs.1'), herald.pause('hangs.2')");
    // Two backlogs, each above the 64 MB at which the worker stops reading the log.
    db.run(
        "select herald.emit('large', to_jsonb(repeat('x', 260000))) from generate_series(1, 300)",
    );
    db.until("select count(*) from herald.pending", "600");
    db.run("select herald.resume('hangs.1'), herald.resume('hangs.2')");
    hanging.wait_until("a request that hangs", |hanging| hanging.total() > 0, SOON);
    // By then the lanes have claimed as much as they may.
    thread::sleep(Duration::from_secs(1));
    db.emit("other");
    neighbour.wait_for(1, SOON);
}

#[test]
fn a_slow_endpoint_gives_way_when_another_has_to_wait_for_what_is_behind_it() {
    let cluster = common::cluster();
    let slow = receiver_with(Mode::delayed(Duration::from_millis(200)));
    let other = receiver();
    let mut db = Database::new(&cluster, "behind_slow");
    let options = "types => '{slow}', max_concurrency => 1";
    db.subscribe("slow", &slow, options);
    db.subscribe("other", &other, "types => '{other}'");
    // It succeeds several times per second, and would take ten minutes.
    db.run("select herald.emit('slow', '{}') from generate_series(1, 3000)");
    slow.wait_for(10, SOON);
    db.emit("other");
    other.wait_for(1, SOON);
    assert!(slow.total() < 1_000, "{slow:?}");
}

/// Receivers not heard from yet may take half of the threads at once: most of these lanes wait for a thread, some for
/// longer than a second, and none spills because of that.
#[test]
fn a_delivery_that_only_waits_for_a_thread_does_not_spill() {
    let cluster = cluster_with(&[("herald.sender_threads", "2")]);
    let mut db = Database::new(&cluster, "waiting");
    let receiver = receiver_with(Mode::delayed(Duration::from_millis(200)));
    for n in 0..10 {
        db.subscribe(&format!("shop.{n}"), &receiver, "");
    }
    db.emit("order.paid");
    let mut most_pending = 0;
    eventually_holds(
        SOON,
        "all of them",
        || {
            most_pending = most_pending.max(db.number("select count(*) from herald.pending"));
            receiver.total()
        },
        |total| *total == 10,
    );
    db.settle();
    assert_eq!(most_pending, 0);
}

#[test]
fn a_lane_that_waits_for_a_thread_gets_one_when_a_request_is_a_second_old() {
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("herald.sender_threads", "4")
        // Nothing else wakes the worker.
        .setting("herald.poll_interval", "60s")
        .start()
        .expect("a cluster");
    let hanging = receiver_with(Mode::hang_before_answer());
    let mut db = Database::new(&cluster, "aged");
    for n in 0..8 {
        let options = "types => '{hangs}', timeout => '5 min'";
        db.subscribe(&format!("hangs.{n}"), &hanging, options);
    }
    db.emit("hangs");
    // Two young requests, and four of any age.
    hanging.wait_until("six requests", |hanging| hanging.total() == 6, SOON);
}
