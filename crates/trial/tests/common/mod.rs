//! Shared by the end-to-end tests: a separate database for each test, and short ways to query it.
#![allow(dead_code, unreachable_pub)] // Each test file uses a part of this.

pub mod document;
pub mod process;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use herald_trial::receiver::{Keep, Request};
use herald_trial::wait::{eventually, eventually_holds};
use herald_trial::{Cluster, Error, Mode, Receipts, Receiver};
use postgres::error::DbError;
use postgres::types::ToSql;
use postgres::{Client, NoTls, Row};

/// Every receiver verifies with it, unless a test is about secrets.
pub const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Nothing here takes this long unless it never happens.
pub const SOON: Duration = Duration::from_secs(20);

/// Starts a cluster for one file of tests: quick, because none of them crashes it.
pub fn cluster() -> Cluster {
    cluster_with(&[("herald.sender_threads", "8"), ("max_connections", "200")])
}

/// Starts a cluster without fsync, with these settings.
pub fn cluster_with(settings: &[(&str, &str)]) -> Cluster {
    let builder = Cluster::builder().fsync(false);
    let builder = settings.iter().fold(builder, |builder, (name, value)| {
        builder.setting(name, value)
    });
    builder.start().expect("a cluster starts")
}

/// Starts a receiver that answers 200 and verifies signatures.
pub fn receiver() -> Receiver {
    receiver_with(Mode::ok())
}

pub fn receiver_with(mode: Mode) -> Receiver {
    Receiver::builder()
        .secret(SECRET)
        .mode(mode)
        .start()
        .expect("a receiver starts")
}

/// Starts a receiver that keeps no requests, and returns the receipts of what it gets.
pub fn receiver_with_receipts(mode: Mode) -> (Receiver, Receipts) {
    let receipts = Receipts::default();
    let receiver = Receiver::builder()
        .secret(SECRET)
        .keep(Keep::Counts)
        .mode(mode)
        .observe(receipts.observer())
        .start();
    (receiver.expect("a receiver starts"), receipts)
}

/// Starts a receiver, and creates a database whose subscription `shop` sends to it.
pub fn subscribed(cluster: &Cluster, name: &str, options: &str) -> (Receiver, Database) {
    let receiver = receiver();
    let db = Database::subscribed(cluster, name, &receiver, options);
    (receiver, db)
}

/// A session in a database with the extension.
pub struct Database {
    pub name: String,
    client: Client,
}

impl Database {
    pub fn new(cluster: &Cluster, name: &str) -> Self {
        let client = cluster
            .create_database_with_herald(name)
            .expect("a database with the extension");
        let name = name.to_owned();
        Self { name, client }
    }

    /// Creates a database whose subscription `shop` sends to this receiver.
    pub fn subscribed(cluster: &Cluster, name: &str, receiver: &Receiver, options: &str) -> Self {
        let mut db = Self::new(cluster, name);
        db.subscribe("shop", receiver, options);
        db
    }

    /// Wraps this session.
    pub fn with(name: &str, client: Client) -> Self {
        let name = name.to_owned();
        Self { name, client }
    }

    /// Opens another session in the same database.
    pub fn session(&self, cluster: &Cluster) -> Self {
        Self::of(cluster, &self.name)
    }

    /// Opens a session as this role, which may log in.
    pub fn session_as(&self, cluster: &Cluster, role: &str) -> Self {
        let client = cluster.config(&self.name).user(role).connect(NoTls);
        Self::with(&self.name, client.expect("a session"))
    }

    /// Opens a session in an existing database.
    pub fn of(cluster: &Cluster, name: &str) -> Self {
        let client = cluster.connect(name).expect("a session");
        let name = name.to_owned();
        Self { name, client }
    }

    /// Subscribes a receiver; `options` are further arguments.
    pub fn subscribe(&mut self, name: &str, receiver: &Receiver, options: &str) {
        self.subscribe_at(name, &receiver.url("/"), options);
    }

    /// Does the same for a URL, with the secret of every receiver.
    pub fn subscribe_at(&mut self, name: &str, url: &str, options: &str) {
        let options = if options.is_empty() {
            String::new()
        } else {
            format!(", {options}")
        };
        self.run(&format!(
            "select herald.subscribe('{name}', url => '{url}', secret => '{SECRET}'{options})"
        ));
    }

    /// Creates a watched table `note`.
    pub fn watched_table(&mut self) {
        self.run("create table note (id int primary key, words text); select herald.watch('note')");
    }

    /// Emits an event of this type and returns its webhook-id.
    pub fn emit(&mut self, event_type: &str) -> String {
        self.text(&format!("select herald.emit('{event_type}', '{{}}')"))
    }

    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        if let Err(error) = self.client.batch_execute(sql) {
            panic!("{sql}: {}", Error::from(error));
        }
    }

    /// Returns the error that this raises.
    #[track_caller]
    pub fn refusal(&mut self, sql: &str) -> DbError {
        match self.client.batch_execute(sql) {
            Ok(()) => panic!("{sql} was not refused"),
            Err(error) => error.as_db_error().expect("the server says no").clone(),
        }
    }

    /// Returns the SQLSTATE of the error that this raises.
    #[track_caller]
    pub fn sqlstate(&mut self, sql: &str) -> String {
        self.refusal(sql).code().code().to_owned()
    }

    #[track_caller]
    pub fn row(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Row {
        match self.client.query_one(sql, parameters) {
            Ok(row) => row,
            Err(error) => panic!("{sql}: {}", Error::from(error)),
        }
    }

    /// Returns the first value of a query's only row, as text; `-` for null, or no row.
    #[track_caller]
    pub fn text(&mut self, sql: &str) -> String {
        let query = format!("select (select v::text from ({sql}) as q (v))");
        self.row(&query, &[])
            .get::<_, Option<String>>(0)
            .unwrap_or_else(|| "-".to_owned())
    }

    #[track_caller]
    /// Returns the first column of all rows.
    pub fn texts(&mut self, sql: &str) -> Vec<String> {
        let rows = self.query(sql, &[]).expect(sql);
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub fn truth(&mut self, sql: &str) -> bool {
        self.row(sql, &[]).get(0)
    }

    pub fn number(&mut self, sql: &str) -> i64 {
        self.text(sql).parse().expect("a number")
    }

    /// Returns the number of rows of a table, or of those that a condition after its name selects.
    pub fn count(&mut self, rows: &str) -> i64 {
        self.number(&format!("select count(*) from {rows}"))
    }

    /// Waits until the query returns this text.
    #[track_caller]
    pub fn until(&mut self, sql: &str, expected: &str) {
        eventually_holds(
            SOON,
            &format!("{expected} from {sql}"),
            || self.text(sql),
            |got| got == expected,
        );
    }

    /// Waits until every event committed so far is delivered or dead.
    #[track_caller]
    pub fn settle(&mut self) {
        self.settle_within(SOON);
    }

    /// Does the same as [`Database::settle`] for more than a few events.
    #[track_caller]
    pub fn settle_within(&mut self, deadline: Duration) {
        let seconds = deadline.as_secs();
        assert_eq!(
            self.text(&format!("select herald.wait(timeout => '{seconds} s')")),
            "true",
            "still pending: {:?}",
            self.text(
                "select json_agg(d) from (select d from herald.delivery d where state not in ('delivered', 'dead') limit 20) d"
            )
        );
    }

    /// Waits until the dead letters have these reasons.
    #[track_caller]
    pub fn until_dead(&mut self, reasons: &str) {
        self.until(
            "select string_agg(reason, ' ' order by event_seq) from herald.dead_letter",
            reasons,
        );
    }
}

impl Deref for Database {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Waits until the standby shows everything committed so far.
pub fn replay(primary: &Cluster, standby: &Cluster) {
    // Use the end of a separate record: the next record would begin after a page's header, and may never come.
    let written = Database::of(primary, "postgres")
        .text("select pg_logical_emit_message(true, 'herald trial', 'replayed')");
    Database::of(standby, "postgres").until(
        &format!("select pg_last_wal_replay_lsn() >= '{written}'"),
        "true",
    );
}

/// Promotes the standby and returns when it takes writes.
pub fn promote(standby: &Cluster) {
    Database::of(standby, "postgres").run("select pg_promote(true, 60)");
}

/// Returns the worker of a database, as soon as it runs.
#[track_caller]
pub fn worker_of(cluster: &Cluster, database: &str) -> i32 {
    eventually(SOON, "the worker", || {
        cluster.worker_pid(database).ok().flatten()
    })
}

/// Returns the launcher, as soon as it runs.
#[track_caller]
pub fn launcher_of(cluster: &Cluster) -> i32 {
    eventually(SOON, "the launcher", || {
        cluster.launcher_pid().ok().flatten()
    })
}

/// Returns the types of the events that a receiver got, sorted, each event once.
pub fn types(receiver: &Receiver) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let mut types: Vec<String> = receiver
        .requests()
        .iter()
        .filter(|request| seen.insert(request.webhook_id.clone()))
        .map(|request| text_at(request, "/type"))
        .collect();
    types.sort();
    types
}

/// Returns a text in the JSON of a request's body.
pub fn text_at(request: &Request, pointer: &str) -> String {
    request
        .json()
        .pointer(pointer)
        .and_then(|value| value.as_str())
        .unwrap_or_default()
        .to_owned()
}

/// Returns the only request that a receiver got.
#[track_caller]
pub fn only_request(receiver: &Receiver) -> Arc<Request> {
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1, "{receiver:?}");
    Arc::clone(&requests[0])
}

/// Returns the rows of a table in a text: a line for each, with ` | ` between its cells, and `-` for
/// an empty one.
pub fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let lines = table.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(|line| {
        let cells = line.split(" | ");
        let cells: Vec<&str> = cells
            .map(|cell| if cell == "-" { "" } else { cell })
            .collect();
        cells.try_into().expect(line)
    })
}

/// Returns the hint of an error, or an empty string.
pub fn hint(error: &DbError) -> &str {
    error.hint().unwrap_or_default()
}
