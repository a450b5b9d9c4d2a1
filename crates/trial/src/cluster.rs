//! A throw-away PostgreSQL server in its own directory, started, crashed and restarted at will.
//!
//! Clients connect through a Unix socket in that directory, so clusters never collide on ports and no other user of the
//! machine can log in. One cluster serves a whole suite, because each test has its own database:
//!
//! ```no_run
//! use herald_trial::Cluster;
//! use std::sync::LazyLock;
//!
//! static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::builder().start().expect("a cluster starts"));
//!
//! let mut client = CLUSTER.create_database_with_herald("orders_are_delivered")?;
//! client.batch_execute("select herald.emit('order.paid')")?;
//! # Ok::<(), herald_trial::Error>(())
//! ```
//!
//! Dropping it stops the server and removes the directory. A static is never dropped, nor is anything in a killed
//! process: then a watchdog cleans up as soon as this process has ended. Other runs are never touched.

mod builder;
mod disk;
mod installation;
mod server;
mod watchdog;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, Config, NoTls};

pub use self::builder::Builder;
use self::builder::ROLE;
pub use self::disk::SmallDisk;
use self::server::Server;
pub use self::server::StopMode;
use crate::error::{Error, Result};
use crate::wait::within;

/// How long a server may take to answer after a start or a crash.
const READY_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Cluster {
    server: Server,
    port: u16,
}

impl Cluster {
    /// Returns a builder for a cluster with the extension preloaded and sending to 127.0.0.0/8 allowed.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Opens a session as superuser, in one try: use [`Cluster::wait_until_ready`] if the server may still be
    /// recovering.
    pub fn connect(&self, database: &str) -> Result<Client> {
        Ok(self.config(database).connect(NoTls)?)
    }

    /// Returns the configuration of [`Cluster::connect`], for sessions with another role, options or
    /// `application_name`.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.socket_dir())
            .port(self.port)
            .user(ROLE)
            .dbname(database);
        config.connect_timeout(Duration::from_secs(10));
        config
    }

    pub fn create_database(&self, name: &str) -> Result<Client> {
        let quoted = name.replace('"', "\"\"");
        self.connect("postgres")?
            .batch_execute(&format!("create database \"{quoted}\""))?;
        self.connect(name)
    }

    /// Creates a database with the extension and returns a session in it.
    pub fn create_database_with_herald(&self, name: &str) -> Result<Client> {
        let mut client = self.create_database(name)?;
        client.batch_execute("create extension pg_herald")?;
        Ok(client)
    }

    /// Returns the output of the real `psql`, unaligned and without headers; stops at the first error.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let options = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql];
        self.run_client("psql", database, &options)
    }

    /// Changes a setting for the whole cluster and has the server reload it.
    pub fn set(&self, setting: &str, value: &str) -> Result<()> {
        let mut client = self.connect("postgres")?;
        client.batch_execute(&format!(
            "alter system set {setting} = '{}'",
            value.replace('\'', "''")
        ))?;
        client.batch_execute("select pg_reload_conf()")?;
        Ok(())
    }

    /// Starts a stopped or crashed server and returns when it answers. Waits for the processes of a killed predecessor,
    /// which may take a moment to notice.
    pub fn start(&self) -> Result<()> {
        self.server
            .start(READY_DEADLINE, || self.connect("postgres").is_ok())
    }

    /// Starts a backup, lets it recover from its `restore_command`, and returns when it accepts writes.
    pub fn start_recovery(&self) -> Result<()> {
        let signal = self.data_dir().join("recovery.signal");
        fs::write(&signal, "").map_err(Error::io(format!("writing {}", signal.display())))?;
        let takes_writes = || {
            let mut client = self.connect("postgres").ok()?;
            let row = client.query_one("select pg_is_in_recovery()", &[]).ok()?;
            (!row.get::<_, bool>(0)).then_some(())
        };
        self.server
            .start(READY_DEADLINE, || takes_writes().is_some())
    }

    /// Returns how long the server took to stop.
    pub fn stop(&self, mode: StopMode) -> Result<Duration> {
        self.server.stop(mode)
    }

    /// Returns how long the stop took, once the server answers again.
    pub fn restart(&self, mode: StopMode) -> Result<Duration> {
        let stopped_in = self.stop(mode)?;
        self.start()?;
        Ok(stopped_in)
    }

    /// Sends `kill -9` to the postmaster: no process cleans up. [`Cluster::start`] brings it back.
    pub fn kill9_postmaster(&self) -> Result<()> {
        self.server.kill9()
    }

    /// Sends `kill -9` to any process of the cluster. A running server restarts itself once it notices.
    pub fn kill9(&self, pid: i32) -> Result<()> {
        self.signal(pid, Signal::SIGKILL)
    }

    /// Does the same as [`Cluster::kill9`], and waits until the server has restarted itself: no earlier session
    /// remains.
    pub fn crash(&self, pid: i32) -> Result<()> {
        let mut witness = self.connect("postgres")?;
        self.kill9(pid)?;
        within(READY_DEADLINE, || witness.simple_query("").err())
            .ok_or_else(|| self.server.failure("the server does not notice a crash"))?;
        self.wait_until_ready()
    }

    /// Makes the server forget its workers' deaths: by design each death delays the next start further.
    pub fn forget_deaths(&self) -> Result<()> {
        let folder = self.data_dir().join("pg_stat_tmp");
        let is_of_a_worker = |path: &Path| {
            let name = path.file_name().and_then(OsStr::to_str);
            let oid = name.and_then(|name| name.strip_prefix("pg_herald_"));
            oid.is_some_and(|oid| oid.parse::<u32>().is_ok())
        };
        for entry in fs::read_dir(folder).map_err(Error::io("looking for notes of workers"))? {
            let path = entry
                .map_err(Error::io("looking for notes of workers"))?
                .path();
            if is_of_a_worker(&path) {
                fs::remove_file(path).map_err(Error::io("removing the notes of a worker"))?;
            }
        }
        Ok(())
    }

    pub fn signal(&self, pid: i32, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(pid), signal).map_err(|errno| Error::Io {
            what: format!("sending {signal} to process {pid}"),
            source: errno.into(),
        })
    }

    /// Waits until a session can be opened, for instance while the server recovers from a crash.
    pub fn wait_until_ready(&self) -> Result<()> {
        within(READY_DEADLINE, || self.connect("postgres").ok())
            .map(drop)
            .ok_or_else(|| self.server.failure("the server does not answer"))
    }

    pub fn postmaster_pid(&self) -> Option<i32> {
        self.server.pid()
    }

    /// Returns the process id of a database's worker, if it runs.
    pub fn worker_pid(&self, database: &str) -> Result<Option<i32>> {
        self.herald_pid("datname = $1", &[&database])
    }

    /// Returns the process id of the launcher, which belongs to no database.
    pub fn launcher_pid(&self) -> Result<Option<i32>> {
        self.herald_pid("datname is null", &[])
    }

    /// Returns everything that the server has logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    pub fn major(&self) -> u32 {
        self.server.installation().major()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the host for `psql -h` and other libpq clients.
    pub fn socket_dir(&self) -> &Path {
        self.server.socket_dir()
    }

    pub fn data_dir(&self) -> &Path {
        self.server.data_dir()
    }

    /// Mounts a disk of this size for the server's files. Fails where the system does not let us mount.
    pub fn small_disk(&self, megabytes: u32) -> Result<SmallDisk> {
        SmallDisk::mount(megabytes, self.server.installation().server_user())
    }

    /// Keeps the server running after this process has ended; the user must remove the directory.
    pub fn leave_running(mut self) {
        self.server.leave_running();
    }

    /// Runs `psql`, `pgbench`, `pg_dump`, ... of the same installation against a database and returns the output.
    pub fn run_client(&self, program: &str, database: &str, options: &[&str]) -> Result<String> {
        self.server
            .installation()
            .run_client(program, &self.client_environment(database), options)
    }

    /// Runs a program such as `pg_resetwal` on the data directory of a stopped server.
    pub fn run_on_files(&self, program: &str, options: &[&str]) -> Result<()> {
        self.server.run_on_files(program, options)
    }

    /// Returns the variables through which libpq and compatible clients find a database of this cluster.
    pub fn client_environment(&self, database: &str) -> Vec<(&'static str, String)> {
        vec![
            ("PGHOST", self.socket_dir().display().to_string()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", ROLE.to_owned()),
            ("PGDATABASE", database.to_owned()),
        ]
    }

    fn of((server, port): (Server, u16)) -> Self {
        Self { server, port }
    }

    fn herald_pid(
        &self,
        which: &str,
        parameters: &[&(dyn postgres::types::ToSql + Sync)],
    ) -> Result<Option<i32>> {
        let sql = format!(
            "select pid from pg_stat_activity where backend_type like 'pg_herald%' and {which}"
        );
        let row = self.connect("postgres")?.query_opt(&sql, parameters)?;
        Ok(row.map(|row| row.get(0)))
    }
}

impl Builder {
    /// Creates the cluster, starts it, and returns when it answers.
    pub fn start(self) -> Result<Cluster> {
        let cluster = Cluster::of(self.init()?);
        cluster.start()?;
        Ok(cluster)
    }

    /// Stops `old` and converts it to this installation with pg_upgrade, without starting the result.
    pub fn upgrade(self, old: &Cluster) -> Result<Cluster> {
        self.convert(&old.server).map(Cluster::of)
    }

    /// Makes a streaming standby of `primary`, starts it, and returns when it answers.
    pub fn start_standby_of(self, primary: &Cluster) -> Result<Cluster> {
        let options = ["--write-recovery-conf"];
        let standby = Cluster::of(self.copy(&primary.server, primary.port, &options)?);
        standby.start()?;
        Ok(standby)
    }

    /// Copies the current files of `primary`. [`Cluster::start`] makes a clone of the copy, and
    /// [`Cluster::start_recovery`] recovers it from an archive.
    pub fn back_up(self, primary: &Cluster) -> Result<Cluster> {
        let copy = self.copy(&primary.server, primary.port, &[])?;
        Ok(Cluster::of(copy))
    }
}
