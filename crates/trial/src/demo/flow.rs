//! The run: traffic in the background, a line per second, a port that opens, a dead letter that is redelivered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use postgres::Client;

use super::book::Counts;
use super::leafengines::{self, Emitted};
use super::options::Options;
use super::stage::{ALERTS, CLIENTS, DATABASE, SCALE, SUBSCRIPTIONS, Stage};
use super::truth::Truth;
use crate::clock::now_micros;
use crate::error::{Error, Result};
use crate::workload::{Pgbench, Report};

/// How long the port of the receiver `down` stays closed.
const DOWN_FOR: Duration = Duration::from_secs(4);

/// When the alert must be a dead letter at the latest; otherwise the account will complain.
const BURIED_WITHIN: Duration = Duration::from_secs(15);

/// Silence after which the account is drawn up, complete or not. Longer than any pause between attempts.
const SILENCE: Duration = Duration::from_secs(5);

/// Applies even if all is complete, to catch late duplicates.
const LAST_LOOK: Duration = Duration::from_millis(500);

const TICK: Duration = Duration::from_millis(100);
const LINES_BETWEEN_HEADINGS: u32 = 15;

/// Transactions per second of the client that rolls back.
const ROLLBACKS: f64 = 40.0;

/// pgbench's own transaction, rolled back.
const ROLLED_BACK: &str = r"
\set aid random(1, 100000 * :scale)
\set bid random(1, 1 * :scale)
\set tid random(1, 10 * :scale)
\set delta random(-5000, 5000)
begin;
update pgbench_accounts set abalance = abalance + :delta where aid = :aid;
select abalance from pgbench_accounts where aid = :aid;
update pgbench_tellers set tbalance = tbalance + :delta where tid = :tid;
update pgbench_branches set bbalance = bbalance + :delta where bid = :bid;
insert into pgbench_history (tid, bid, aid, delta, mtime) values (:tid, :bid, :aid, :delta, current_timestamp);
rollback;
";

/// For the screen only: the account uses neither of them.
const PENDING_AND_DEAD: &str =
    "select (select count(*) from herald.pending), (select count(*) from herald.dead_letter)";

#[derive(Debug)]
pub struct Run {
    pub truth: Truth,
    pub redelivered_at_micros: i64,
}

pub fn run(stage: &Stage, options: Options) -> Result<Run> {
    let emitted = &AtomicU64::new(0);
    thread::scope(|scope| {
        let Options { seconds, rate, .. } = options;
        let traffic = Traffic {
            committing: scope.spawn(move || committing(stage, seconds, rate)),
            rolling_back: scope.spawn(move || rolling_back(stage, seconds)),
            emitting: scope.spawn(move || emitting(stage, seconds, emitted)),
        };
        Director::new(stage, emitted)?.direct(traffic)
    })
}

struct Traffic<'scope> {
    committing: ScopedJoinHandle<'scope, Result<Report>>,
    rolling_back: ScopedJoinHandle<'scope, Result<Report>>,
    emitting: ScopedJoinHandle<'scope, Result<Emitted>>,
}

fn committing(stage: &Stage, seconds: u32, rate: u32) -> Result<Report> {
    let pgbench = Pgbench::on(&stage.cluster, DATABASE)
        .clients(CLIENTS)
        .seconds(seconds);
    match rate {
        0 => pgbench.run(),
        rate => pgbench.rate(rate.into()).run(),
    }
}

fn rolling_back(stage: &Stage, seconds: u32) -> Result<Report> {
    Pgbench::on(&stage.cluster, DATABASE)
        .script(ROLLED_BACK)
        .option(format!("--scale={SCALE}"))
        .rate(ROLLBACKS)
        .seconds(seconds)
        .run()
}

fn emitting(stage: &Stage, seconds: u32, committed: &AtomicU64) -> Result<Emitted> {
    let mut client = stage.cluster.connect(DATABASE)?;
    leafengines::emit_all(&mut client, Duration::from_secs(seconds.into()), committed)
}

impl Traffic<'_> {
    fn is_over(&self) -> bool {
        self.committing.is_finished()
            && self.rolling_back.is_finished()
            && self.emitting.is_finished()
    }

    /// Waits for the traffic to end, and reads the database's account of it.
    fn into_truth(self, client: &mut Client) -> Result<Truth> {
        let committed = join(self.committing)?;
        let rolled_back = join(self.rolling_back)?;
        Truth::read(client, committed, rolled_back, join(self.emitting)?)
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    let panicked = |_| Error::Setup("a thread of the demo's traffic panicked".to_owned());
    thread.join().map_err(panicked)?
}

/// Decides what happens when, and prints it.
struct Director<'a> {
    stage: &'a Stage,
    /// LeafEngines events committed so far.
    emitted: &'a AtomicU64,
    client: Client,
    began_at: Instant,
    port_is_open: bool,
    redelivered_at_micros: Option<i64>,
    last_receipt_at: Instant,
    requests_seen: u64,
    accepted_printed: u64,
    printed_at: Duration,
    lines: u32,
}

impl<'a> Director<'a> {
    fn new(stage: &'a Stage, emitted: &'a AtomicU64) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            stage,
            emitted,
            client: stage.cluster.connect(DATABASE)?,
            began_at: now,
            port_is_open: false,
            redelivered_at_micros: None,
            last_receipt_at: now,
            requests_seen: 0,
            accepted_printed: 0,
            printed_at: Duration::ZERO,
            lines: 0,
        })
    }

    fn direct(mut self, traffic: Traffic<'_>) -> Result<Run> {
        let mut traffic = Some(traffic);
        let mut truth = None;
        let mut next_line = Duration::from_secs(1);
        loop {
            thread::sleep(TICK);
            self.open_the_port()?;
            self.redeliver_the_dead_letter()?;
            if self.began_at.elapsed() >= next_line {
                self.print_line(next_line)?;
                next_line += Duration::from_secs(1);
            }
            if let Some(over) = traffic.take_if(|traffic| traffic.is_over()) {
                truth = Some(over.into_truth(&mut self.client)?);
                self.say("the traffic has ended; what is pending is still delivered");
            }
            if truth.as_ref().is_some_and(|truth| self.is_settled(truth)) {
                self.print_line(self.began_at.elapsed())?;
                return Ok(Run {
                    truth: truth.expect("it was there a line ago"),
                    redelivered_at_micros: self.redelivered_at_micros.unwrap_or(i64::MAX),
                });
            }
        }
    }

    /// Opens the port once the alert is a dead letter: its three attempts must have met the closed port.
    fn open_the_port(&mut self) -> Result<()> {
        let at = self.began_at.elapsed();
        if self.port_is_open || at < DOWN_FOR {
            return Ok(());
        }
        if self.pending_and_dead()?.1 == 0 && at < BURIED_WITHIN {
            return Ok(());
        }
        self.stage.down.up()?;
        self.port_is_open = true;
        self.say("the port of the receiver `down` opens");
        Ok(())
    }

    fn redeliver_the_dead_letter(&mut self) -> Result<()> {
        if !self.port_is_open || self.redelivered_at_micros.is_some() {
            return Ok(());
        }
        let at = now_micros();
        let sql = "select herald.redeliver_dead_letters($1)";
        let letters: i64 = self.client.query_one(sql, &[&ALERTS])?.get(0);
        if letters > 0 {
            self.redelivered_at_micros = Some(at);
            self.say(&format!(
                "select herald.redeliver_dead_letters('{ALERTS}') sends {letters} dead letter again"
            ));
        }
        Ok(())
    }

    /// Returns true if all is complete and quiet, or quiet for so long that no more will come.
    fn is_settled(&mut self, truth: &Truth) -> bool {
        let requests = self.counts().map(|counts| counts.requests).iter().sum();
        if requests != self.requests_seen {
            self.requests_seen = requests;
            self.last_receipt_at = Instant::now();
        }
        let silent_for = self.last_receipt_at.elapsed();
        let mut accounts = SUBSCRIPTIONS.iter().zip(self.counts());
        let is_complete =
            accounts.all(|(subscription, counts)| counts.accepted >= truth.due(subscription));
        self.port_is_open && silent_for >= if is_complete { LAST_LOOK } else { SILENCE }
    }

    fn counts(&self) -> [Counts; SUBSCRIPTIONS.len()] {
        std::array::from_fn(|number| self.stage.books[number].counts())
    }

    fn print_line(&mut self, at: Duration) -> Result<()> {
        if self.lines.is_multiple_of(LINES_BETWEEN_HEADINGS) {
            println!(
                "\n{:>6} {:>10} |{:>8} {:>7} {:>7} {:>7} {:>11} |{:>8} {:>8} {:>5}",
                "time",
                "committed",
                "healthy",
                "flaky",
                "down",
                "alerts",
                "delivered/s",
                "retries",
                "pending",
                "dead"
            );
        }
        self.lines += 1;
        // Count the receivers first, so that nothing appears received before it was committed.
        let counts = self.counts();
        let sql = "select count(*) from pgbench_history";
        let transactions: i64 = self.client.query_one(sql, &[])?.get(0);
        let emitted = i64::try_from(self.emitted.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let (pending, dead) = self.pending_and_dead()?;
        let accepted: u64 = counts.iter().map(|counts| counts.accepted).sum();
        let since = at.saturating_sub(self.printed_at).as_secs_f64().max(0.1);
        let per_second = ((accepted - self.accepted_printed) as f64 / since).round();
        let retries: u64 = counts.iter().map(|counts| counts.retries).sum();
        println!(
            "{:>4.0} s {:>10} |{:>8} {:>7} {:>7} {:>7} {:>11} |{:>8} {:>8} {:>5}",
            at.as_secs_f64(),
            2 * transactions + emitted,
            counts[0].accepted,
            counts[1].accepted,
            counts[2].accepted,
            counts[3].accepted,
            per_second,
            retries,
            pending,
            dead
        );
        self.accepted_printed = accepted;
        self.printed_at = at;
        Ok(())
    }

    fn pending_and_dead(&mut self) -> Result<(i64, i64)> {
        let row = self.client.query_one(PENDING_AND_DEAD, &[])?;
        Ok((row.get(0), row.get(1)))
    }

    fn say(&self, what: &str) {
        println!("{:>4.0} s -- {what}", self.began_at.elapsed().as_secs_f64());
    }
}
