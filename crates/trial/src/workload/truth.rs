//! Client threads that change a table and record, in the same transaction, what they changed.
//!
//! So `trial.committed` is the truth about `trial.change`, whatever was rolled back, crashed, or committed without an
//! answer. Each change has a unique number, by which it is recognized in requests.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use postgres::config::TargetSessionAttrs;
use postgres::{Client, Config, Row};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::error::Result;
use crate::receiver::Request;

const TABLES: &str = "
    create schema if not exists trial;
    create table if not exists trial.change (client int, seq bigint, note text, primary key (client, seq));
    create table if not exists trial.committed (client int, seq bigint, primary key (client, seq));
";

/// One change that a client attempted, and its name in every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    pub client: i32,
    pub seq: i64,
}

/// The SQL that makes a change; the workload adds its record.
pub type ChangeSql = dyn Fn(Change) -> String + Send + Sync;

/// A load of random transactions; the same seed gives the same transactions.
#[derive(Clone)]
pub struct Workload {
    pub(super) config: Config,
    pub(super) clients: i32,
    pub(super) transactions: u64,
    pub(super) per_second: Option<f64>,
    pub(super) first_client: i32,
    pub(super) seed: u64,
    pub(super) change: Arc<ChangeSql>,
    acknowledged: Arc<Mutex<BTreeSet<Change>>>,
}

/// What the clients were told. If a commit got no answer, only the database knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub committed: u64,
    pub rolled_back: u64,
    pub unknown: u64,
    pub reconnects: u64,
}

impl Workload {
    /// Creates `trial.change`, to be watched by the caller, and `trial.committed`.
    pub fn prepare(cluster: &Cluster, database: &str) -> Result<Self> {
        cluster.connect(database)?.batch_execute(TABLES)?;
        Ok(Self {
            config: cluster.config(database),
            clients: 4,
            transactions: 100,
            per_second: None,
            first_client: 0,
            seed: 1,
            change: Arc::new(insert_change),
            acknowledged: Arc::default(),
        })
    }

    /// Lets clients whose server is gone continue with this standby, once it takes writes.
    pub fn standby(mut self, standby: &Cluster) -> Self {
        self.config
            .host_path(standby.socket_dir())
            .port(standby.port())
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        self
    }

    pub fn clients(mut self, clients: i32) -> Self {
        self.clients = clients;
        self
    }

    /// Sets the transactions per client.
    pub fn transactions(mut self, transactions: u64) -> Self {
        self.transactions = transactions;
        self
    }

    /// Runs until [`Running::stop`](super::Running::stop).
    pub fn endless(self) -> Self {
        self.transactions(u64::MAX)
    }

    /// Sets the transactions per second of all clients together; by default as fast as possible.
    pub fn rate(mut self, per_second: f64) -> Self {
        self.per_second = Some(per_second);
        self
    }

    /// Numbers clients from here on, so that several workloads can share the tables.
    pub fn first_client(mut self, number: i32) -> Self {
        self.first_client = number;
        self
    }

    /// Sets the options of each session, in the form of `PGOPTIONS`: `-c synchronous_commit=off`.
    pub fn session_options(mut self, options: &str) -> Self {
        self.config.options(options);
        self
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes another change instead of an insert into `trial.change`, for instance `herald.emit`.
    pub fn change(mut self, change: impl Fn(Change) -> String + Send + Sync + 'static) -> Self {
        self.change = Arc::new(change);
        self
    }

    /// Returns the changes whose commits were acknowledged so far.
    pub fn acknowledged(&self) -> BTreeSet<Change> {
        let acknowledged = self.acknowledged.lock();
        acknowledged.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn acknowledge(&self, changes: Vec<Change>) {
        let acknowledged = self.acknowledged.lock();
        acknowledged
            .unwrap_or_else(PoisonError::into_inner)
            .extend(changes);
    }
}

/// Returns what the database says was committed.
pub fn committed_changes(client: &mut Client) -> Result<BTreeSet<Change>> {
    let rows = client.query("select client, seq from trial.committed", &[])?;
    Ok(rows.iter().map(Change::of_row).collect())
}

impl Change {
    /// Reads a row of client and seq.
    pub(crate) fn of_row(row: &Row) -> Self {
        Self {
            client: row.get(0),
            seq: row.get(1),
        }
    }

    /// Returns the change that a CloudEvent is about, if it is about a row of `trial.change`.
    pub fn in_request(request: &Request) -> Option<Self> {
        Self::in_event(&request.json())
    }

    /// Does the same as [`Change::in_request`] for an event.
    pub fn in_event(event: &Value) -> Option<Self> {
        let record = event.pointer("/data/record")?;
        let client = i32::try_from(record.get("client")?.as_i64()?).ok()?;
        Some(Self {
            client,
            seq: record.get("seq")?.as_i64()?,
        })
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload")
            .field("clients", &self.clients)
            .field("transactions", &self.transactions)
            .field("per_second", &self.per_second)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Makes a workload's default change: one row.
pub fn insert_change(change: Change) -> String {
    let Change { client, seq } = change;
    format!(
        "insert into trial.change (client, seq, note) values ({client}, {seq}, 'made by the workload')"
    )
}
