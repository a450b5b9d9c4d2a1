//! Changes committed one by one, the server's answer to each, and what became of them.

use std::collections::BTreeMap;

use herald_trial::workload::committed_changes;
use herald_trial::{Cluster, Receipts, Receiver, Verdict, Workload, eventually, figure};
use postgres::Client;

use crate::LATER;
use crate::common::{Database, SECRET};

/// One writer, one subscription, one receiver.
pub struct Ledger<'a> {
    cluster: &'a Cluster,
    database: String,
    session: Client,
    pub receiver: Receiver,
    receipts: Receipts,
    next: i64,
    committed: usize,
    unanswered: usize,
    /// Counts by SQLSTATE.
    refusals: BTreeMap<String, usize>,
}

impl<'a> Ledger<'a> {
    pub fn new(cluster: &'a Cluster, db: &mut Database) -> Self {
        Workload::prepare(cluster, &db.name).expect("the tables of a workload");
        db.run("select herald.watch('trial.change')");
        let receipts = Receipts::default();
        let receiver = Receiver::builder()
            .secret(SECRET)
            .observe(receipts.observer());
        let receiver = receiver.start().expect("a receiver");
        db.subscribe("shop", &receiver, "types => '{trial.change.*}'");
        Self {
            cluster,
            database: db.name.clone(),
            session: cluster.connect(&db.name).expect("a session"),
            receiver,
            receipts,
            next: 0,
            committed: 0,
            unanswered: 0,
            refusals: BTreeMap::new(),
        }
    }

    /// Tries `count` commits. Each records its change in the same transaction.
    pub fn commit(&mut self, count: usize) {
        for _ in 0..count {
            self.next += 1;
            let seq = self.next;
            let note = "a page is full after a few of these. ".repeat(30);
            match write(&mut self.session, seq, &note) {
                Ok(()) => self.committed += 1,
                Err(error) => match error.as_db_error() {
                    Some(refusal) => {
                        let state = refusal.code().code().to_owned();
                        *self.refusals.entry(state).or_default() += 1;
                    }
                    None => self.unanswered += 1,
                },
            }
        }
    }

    pub fn reconnect(&mut self) {
        self.session = eventually(LATER, "a session", || {
            self.cluster.connect(&self.database).ok()
        });
    }

    pub fn refused(&self) -> usize {
        self.refusals.values().sum()
    }

    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Waits until everything committed is delivered.
    pub fn settle(&mut self) {
        eventually(LATER, "the delivery of all that is committed", || {
            let settled = self
                .session
                .query_one("select herald.wait(timeout => '1 s')", &[]);
            settled.ok()?.get::<_, bool>(0).then_some(())
        });
    }

    /// Asserts that the server refused commits only with this SQLSTATE.
    #[track_caller]
    pub fn assert_refusals(&self, state: &str) {
        let others = self.refusals.keys().filter(|found| *found != state).count();
        figure("commits refused for another reason", others);
        assert_eq!(others, 0, "{:?}", self.refusals);
    }

    #[track_caller]
    pub fn assert_nothing_lost(&mut self) {
        let truth = committed_changes(&mut self.session).expect("the truth");
        let verdict = Verdict::new(&truth, &self.receipts);
        figure("verdict", &verdict);
        assert!(
            verdict.is_clean() && verdict.committed >= self.committed,
            "{verdict}"
        );
        assert_eq!(self.receiver.invalid_signatures(), 0);
    }
}

fn write(session: &mut Client, seq: i64, note: &str) -> Result<(), postgres::Error> {
    let mut transaction = session.transaction()?;
    transaction.execute(
        "insert into trial.change (client, seq, note) values (0, $1, $2)",
        &[&seq, &note],
    )?;
    transaction.execute(
        "insert into trial.committed (client, seq) values (0, $1)",
        &[&seq],
    )?;
    transaction.commit()
}
