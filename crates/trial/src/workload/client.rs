//! The clients of a workload: each a thread with a session, which it reopens after every crash.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use postgres::error::Severity;
use postgres::{Client, Config, NoTls};

use super::program::{Dice, Ending, Program};
use super::truth::{Change, Tally, Workload};
use crate::error::{Error, Result};
use crate::wait::within;

/// How long a client waits for a crashed server to come back.
const RECONNECT_DEADLINE: Duration = Duration::from_secs(60);

/// A running workload. Dropping it stops the clients and waits for them.
#[derive(Debug)]
pub struct Running {
    stopping: Arc<AtomicBool>,
    config: Config,
    numbers: Range<i32>,
    clients: Vec<JoinHandle<Result<Tally>>>,
}

impl Workload {
    pub fn run(&self) -> Result<Tally> {
        self.start().finish()
    }

    pub fn start(&self) -> Running {
        let stopping = Arc::new(AtomicBool::new(false));
        let numbers = self.first_client..self.first_client + self.clients;
        let clients = numbers
            .clone()
            .map(|number| {
                let mut client = TruthfulClient::new(self.clone(), number, Arc::clone(&stopping));
                thread::spawn(move || client.run())
            })
            .collect();
        Running {
            stopping,
            config: self.config.clone(),
            numbers,
            clients,
        }
    }
}

impl Running {
    /// Stops each client after its current transaction.
    pub fn stop(self) -> Result<Tally> {
        self.stopping.store(true, Ordering::SeqCst);
        self.finish()
    }

    /// Waits for all transactions. Rolls back those that these clients prepared and a crash left behind.
    pub fn finish(mut self) -> Result<Tally> {
        let mut sum = Tally::default();
        for client in self.clients.drain(..) {
            let tally = client
                .join()
                .map_err(|_| Error::Setup("a client of the workload panicked".to_owned()))??;
            sum.committed += tally.committed;
            sum.rolled_back += tally.rolled_back;
            sum.unknown += tally.unknown;
            sum.reconnects += tally.reconnects;
        }
        let mut client = connect(&self.config)?;
        let prepared = "select gid from pg_prepared_xacts
            where gid like 'trial-%' and database = current_database()
            and split_part(gid, '-', 2)::int >= $1 and split_part(gid, '-', 2)::int < $2";
        for row in client.query(prepared, &[&self.numbers.start, &self.numbers.end])? {
            client.batch_execute(&format!("rollback prepared '{}'", row.get::<_, String>(0)))?;
        }
        Ok(sum)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

struct TruthfulClient {
    workload: Workload,
    number: i32,
    stopping: Arc<AtomicBool>,
    seq: i64,
    tally: Tally,
}

/// How far a transaction came before its connection broke.
enum Broken {
    BeforeCommit,
    AtCommit,
}

impl TruthfulClient {
    fn new(workload: Workload, number: i32, stopping: Arc<AtomicBool>) -> Self {
        Self {
            workload,
            number,
            stopping,
            seq: 0,
            tally: Tally::default(),
        }
    }

    fn run(&mut self) -> Result<Tally> {
        let mut dice = Dice::new(
            self.workload
                .seed
                .wrapping_mul(1_000_003)
                .wrapping_add(self.number.unsigned_abs().into()),
        );
        let mut session = connect(&self.workload.config)?;
        let began_at = Instant::now();
        for n in 0..self.workload.transactions {
            self.keep_pace(began_at, n);
            if self.stopping.load(Ordering::SeqCst) {
                break;
            }
            let program = Program::roll(&mut dice);
            match self.run_program(&mut session, &program) {
                Ok(changes) => match program.ending {
                    Ending::Commit | Ending::CommitPrepared => {
                        self.tally.committed += 1;
                        self.workload.acknowledge(changes);
                    }
                    Ending::Rollback | Ending::RollbackPrepared => self.tally.rolled_back += 1,
                },
                Err((broken, error)) => {
                    if is_refusal(&error) {
                        // The server is well and refuses: a fault of the trial, not a crash.
                        return Err(error.into());
                    }
                    match broken {
                        Broken::BeforeCommit => self.tally.rolled_back += 1,
                        Broken::AtCommit => self.tally.unknown += 1,
                    }
                    self.tally.reconnects += 1;
                    session = connect(&self.workload.config)?;
                }
            }
        }
        Ok(self.tally)
    }

    /// Returns the changes that take effect if the transaction commits.
    fn run_program(
        &mut self,
        session: &mut Client,
        program: &Program,
    ) -> Result<Vec<Change>, (Broken, postgres::Error)> {
        let global_id = format!("trial-{}-{}", self.number, self.seq);
        let changes = self
            .make_changes(session, program)
            .map_err(|error| (Broken::BeforeCommit, error))?;
        let endings: &[String] = &match program.ending {
            Ending::Commit => vec!["commit".to_owned()],
            Ending::Rollback => vec!["rollback".to_owned()],
            Ending::CommitPrepared => {
                vec![
                    format!("prepare transaction '{global_id}'"),
                    format!("commit prepared '{global_id}'"),
                ]
            }
            Ending::RollbackPrepared => {
                vec![
                    format!("prepare transaction '{global_id}'"),
                    format!("rollback prepared '{global_id}'"),
                ]
            }
        };
        for statement in endings {
            session
                .batch_execute(statement)
                .map_err(|error| (Broken::AtCommit, error))?;
        }
        Ok(changes)
    }

    fn make_changes(
        &mut self,
        session: &mut Client,
        program: &Program,
    ) -> Result<Vec<Change>, postgres::Error> {
        let before = self.seq;
        let statements = program.statements(&mut || self.next_change());
        session.batch_execute("begin")?;
        for statement in statements {
            session.batch_execute(&statement)?;
        }
        // What no savepoint or block has undone.
        let kept = "select client, seq from trial.committed where client = $1 and seq > $2";
        let rows = session.query(kept, &[&self.number, &before])?;
        Ok(rows.iter().map(Change::of_row).collect())
    }

    /// Returns the next change and its record.
    fn next_change(&mut self) -> [String; 2] {
        self.seq += 1;
        let (client, seq) = (self.number, self.seq);
        [
            (self.workload.change)(Change { client, seq }),
            format!("insert into trial.committed (client, seq) values ({client}, {seq})"),
        ]
    }

    fn keep_pace(&self, began_at: Instant, transactions_so_far: u64) {
        let Some(per_second) = self.workload.per_second else {
            return;
        };
        let due_in = transactions_so_far as f64 * f64::from(self.workload.clients) / per_second;
        thread::sleep(Duration::from_secs_f64(due_in).saturating_sub(began_at.elapsed()));
    }
}

/// Returns true if the server refused. The last error of a session that ends with its server is FATAL instead.
fn is_refusal(error: &postgres::Error) -> bool {
    let severity = error
        .as_db_error()
        .and_then(|error| error.parsed_severity());
    severity == Some(Severity::Error)
}

fn connect(config: &Config) -> Result<Client> {
    let mut refusal = None;
    within(RECONNECT_DEADLINE, || {
        config
            .connect(NoTls)
            .map_err(|error| refusal = Some(error))
            .ok()
    })
    .ok_or_else(|| refusal.map_or_else(|| Error::Setup("no try to connect".to_owned()), Error::Sql))
}
