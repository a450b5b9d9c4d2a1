//! The rig: one cluster for all benchmarks, with a database for each.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use herald_trial::{Cluster, Error, Result, within};
use postgres::Client;

use crate::arrivals::Arrivals;
use crate::sink::{Observer, Sink};

/// Sender threads on every side, and the concurrency of the only subscription.
pub const THREADS: usize = 64;
/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(1_800);
/// Not the defaults; every report names them.
pub const SETTINGS: [(&str, &str); 5] = [
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("max_connections", "200"),
    ("herald.sender_threads", "64"),
];

#[derive(Debug)]
pub struct Rig {
    pub cluster: Cluster,
}

impl Rig {
    pub fn build() -> Result<Self> {
        let mut builder = Cluster::builder();
        for (name, value) in SETTINGS {
            builder = builder.setting(name, value);
        }
        Ok(Self {
            cluster: builder.start()?,
        })
    }

    /// Creates a database with the extension, which is dropped with the bench.
    pub fn bench(&self, name: &str) -> Result<Bench<'_>> {
        let db = self.cluster.create_database_with_herald(name)?;
        Ok(Bench {
            rig: self,
            name: name.to_owned(),
            db: Some(db),
        })
    }

    /// Describes the machine for the report.
    pub fn machine(&self) -> Result<String> {
        let mut client = self.cluster.connect("postgres")?;
        let version: String = client.query_one("show server_version", &[])?.get(0);
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let settings = SETTINGS.map(|(name, value)| format!("{name} = {value}"));
        Ok(format!(
            "pg_herald {}, PostgreSQL {version}, Linux {}, {processors} processors for everything (server, load, sender, sink), {}",
            env!("CARGO_PKG_VERSION"),
            kernel.trim(),
            settings.join(", ")
        ))
    }
}

/// One database of the rig.
pub struct Bench<'a> {
    pub rig: &'a Rig,
    pub name: String,
    db: Option<Client>,
}

impl Bench<'_> {
    pub fn db(&mut self) -> &mut Client {
        self.db.as_mut().expect("taken only when it is dropped")
    }

    pub fn run(&mut self, sql: &str) -> Result<()> {
        Ok(self.db().batch_execute(sql)?)
    }

    pub fn number(&mut self, sql: &str) -> Result<i64> {
        Ok(self
            .db()
            .query_one(&format!("select ({sql})::bigint"), &[])?
            .get(0))
    }

    pub fn connect(&self) -> Result<Client> {
        self.rig.cluster.connect(&self.name)
    }

    pub fn subscribe(&mut self, name: &str, url: &str, options: &str) -> Result<()> {
        self.run(&format!(
            "select herald.subscribe('{name}', url => '{url}', max_concurrency => {THREADS}{options})"
        ))
    }

    /// Points the benchmarks' subscription to `sink` for events committed from now on.
    pub fn send_to(&mut self, sink: &Sink) -> Result<()> {
        self.run(&format!(
            "update herald.subscription set url = '{}' where name = 'sink'",
            sink.url()
        ))
    }

    /// Waits until the query's number is at least `number`.
    pub fn until(&mut self, sql: &str, number: usize) -> Result<()> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let began_at = Instant::now();
        while self.number(sql)? < number {
            if began_at.elapsed() > PATIENCE {
                return Err(Error::Setup(format!("{sql}: less than {number}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Waits until the log is read and nothing is under way.
    pub fn settle(&mut self) -> Result<()> {
        let seconds = PATIENCE.as_secs();
        let is_settled: bool = self
            .db()
            .query_one(
                &format!("select herald.wait(timeout => '{seconds} s')"),
                &[],
            )?
            .get(0);
        match is_settled {
            true => Ok(()),
            false => Err(Error::Setup(
                "deliveries do not come to their end".to_owned(),
            )),
        }
    }

    pub fn worker(&self) -> Result<i32> {
        within(Duration::from_secs(10), || {
            self.rig.cluster.worker_pid(&self.name).ok().flatten()
        })
        .ok_or_else(|| Error::Setup("there is no worker".to_owned()))
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.db = None;
        let drop = format!("drop database \"{}\" with (force)", self.name);
        let dropped = self
            .rig
            .cluster
            .connect("postgres")
            .and_then(|mut client| Ok(client.batch_execute(&drop)?));
        if let Err(error) = dropped {
            eprintln!("{}: {error}", self.name);
        }
    }
}

/// Starts a sink that records into `arrivals`.
pub fn sink(arrivals: &Arc<Arrivals>) -> Result<Sink> {
    observed(arrivals.observer())
}

pub fn observed(observer: Observer) -> Result<Sink> {
    Sink::start(observer).map_err(|source| Error::Io {
        what: "starting the sink".to_owned(),
        source,
    })
}
