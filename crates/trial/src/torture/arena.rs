//! The place of the torture: a cluster with fsync, two subscriptions, a receiver in its own process, and a load.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use super::accounts::{Accounts, PATHS};
use super::round::{Fault, Outcome, Struck};
use super::victim::Victim;
use crate::clock::now_micros;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::wait::within;
use crate::workload::{Running, Workload, insert_change};

const DATABASE: &str = "torture";
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// The least time that the receiver takes to answer, for which each request is under way.
const ANSWER: Duration = Duration::from_millis(10);
/// A commit counts as recent for this long.
const RECENT_MICROS: i64 = 100_000;
const CLIENTS: i32 = 6;
/// The client that makes one large transaction for the places that need it.
const BULK_CLIENT: i32 = 50;
const SOON: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Arena {
    pub cluster: Cluster,
    pub accounts: Accounts,
    receiver: Child,
    _directory: tempfile::TempDir,
}

impl Arena {
    pub fn prepare(seed: u64) -> Result<Self> {
        let directory = tempfile::tempdir().map_err(Error::io("making a directory for the log"))?;
        let log = directory.path().join("receipts.jsonl");
        let (receiver, url) = start_receiver(&log)?;
        let accounts = Accounts::open(&log)?;
        let cluster = Cluster::builder()
            .setting("herald.sender_threads", "16")
            .setting("herald.poll_interval", "200ms")
            .setting("restart_after_crash", "on")
            .start()?;
        let mut client = cluster.create_database_with_herald(DATABASE)?;
        Workload::prepare(&cluster, DATABASE)?;
        client.batch_execute("select herald.watch('trial.change')")?;
        for path in PATHS {
            client.batch_execute(&format!(
                "select herald.subscribe('{name}', url => '{url}{name}', secret => '{SECRET}', timeout => '5 s',
                     retry_schedule => '{{100 ms,100 ms,200 ms,1 s,1 s,1 s,1 s,1 s}}')",
                name = &path[1..],
            ))?;
        }
        drop(client);
        let arena = Self {
            cluster,
            accounts,
            receiver,
            _directory: directory,
        };
        println!(
            "PostgreSQL {}, fsync on, seed {seed}",
            arena.cluster.major()
        );
        Ok(arena)
    }

    /// Plays one round: load, fault, recovery, account.
    pub fn play(&mut self, fault: &Fault, rate: f64) -> Result<Outcome> {
        let is_power_loss = fault.victim.loses_power();
        let delay = if is_power_loss { "10s" } else { "200ms" };
        self.cluster.set("wal_writer_delay", delay)?;
        self.cluster
            .set("herald.retention", fault.victim.retention())?;
        let after_event = self.last_event()?;
        let last_commit = Arc::new(AtomicI64::new(0));
        let running = self.start_load(fault, rate, Arc::clone(&last_commit))?;
        self.wait_for_deliveries()?;
        thread::sleep(fault.delay);
        let before = self.worker()?;
        // We cause these deaths, so they must not delay the next start.
        self.cluster.forget_deaths()?;
        self.provoke(fault)?;

        let aim = fault.victim.aim(&self.cluster, DATABASE)?;
        let at_micros = now_micros();
        let was_busy = at_micros - last_commit.load(Ordering::Relaxed) <= RECENT_MICROS;
        let is_struck = aim.strike()?;
        // The worker reaches a place in the code some time after it was told.
        let is_place = matches!(fault.victim, Victim::At(_));
        let at_micros = if is_place { now_micros() } else { at_micros };
        if is_struck {
            self.recover(&fault.victim, before)?;
        }
        self.resume_all()?;
        let ready_at_micros = now_micros();
        thread::sleep(Duration::from_millis(300));
        let tally = running.stop()?;
        let is_drained = self.drain()?;
        self.accounts.read_on()?;
        let was_in_flight = is_place || self.accounts.was_in_flight(ANSWER, at_micros);
        let struck = Struck {
            after_event,
            is_busy: is_struck && was_busy,
            was_in_flight,
            at_micros,
            ready_at_micros,
            is_drained,
            unknown: tally.unknown,
        };
        Outcome::judge(
            fault,
            &struck,
            &mut self.cluster.connect(DATABASE)?,
            &self.accounts,
        )
    }

    pub fn end_of_log(&self) -> String {
        let log = self.cluster.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn start_load(&self, fault: &Fault, rate: f64, heard: Arc<AtomicI64>) -> Result<Running> {
        let mut workload = Workload::prepare(&self.cluster, DATABASE)?
            .clients(CLIENTS)
            .first_client(fault.first_client())
            .endless()
            .rate(rate)
            .seed(fault.seed)
            .change(move |change| {
                // A transaction is about to begin, so this client's last one has ended.
                heard.store(now_micros(), Ordering::Relaxed);
                insert_change(change)
            });
        if fault.victim.loses_power() {
            workload = workload.session_options("-c synchronous_commit=off");
        }
        Ok(workload.start())
    }

    fn wait_for_deliveries(&mut self) -> Result<()> {
        let before = self.accounts.arrivals.len();
        let mut fault = None;
        within(SOON, || {
            fault = self.accounts.read_on().err();
            (fault.is_some() || self.accounts.arrivals.len() > before + 40).then_some(())
        });
        match fault {
            Some(error) => Err(error),
            None if self.accounts.arrivals.len() > before => Ok(()),
            None => Err(Error::Setup("nothing is delivered under load".to_owned())),
        }
    }

    fn last_event(&self) -> Result<i64> {
        let sql = "select last_value from herald_internal.event_seq";
        Ok(self.cluster.connect(DATABASE)?.query_one(sql, &[])?.get(0))
    }

    fn worker(&self) -> Result<i32> {
        within(SOON, || self.cluster.worker_pid(DATABASE).ok().flatten())
            .ok_or_else(|| Error::Setup("there is no worker".to_owned()))
    }

    /// Brings enough into memory for places that this load alone does not pass.
    fn provoke(&self, fault: &Fault) -> Result<()> {
        if !fault.victim.takes_a_large_window() {
            return Ok(());
        }
        let bulk = fault.first_client() + BULK_CLIENT;
        let mut client = self.cluster.connect(DATABASE)?;
        client.batch_execute(&format!(
            "begin;
             insert into trial.change (client, seq) select {bulk}, n from generate_series(1, 3000) n;
             insert into trial.committed (client, seq) select {bulk}, n from generate_series(1, 3000) n"
        ))?;
        // Arm between the change and its commit: what follows the commit is passed at once.
        fault.victim.arm(&self.cluster)?;
        client.batch_execute("commit")?;
        if fault.victim == Victim::At("after_spill") {
            // The lane has more than it can send: what waits in it has to be spilled.
            let _ = client.batch_execute("select herald.pause('steady')");
        }
        Ok(())
    }

    fn recover(&self, victim: &Victim, before: i32) -> Result<()> {
        if victim.stops_the_server() {
            self.cluster.start()?;
        }
        within(SOON, || {
            let now = self.cluster.worker_pid(DATABASE).ok().flatten()?;
            (now != before).then_some(())
        })
        .ok_or_else(|| {
            Error::Setup(format!(
                "no worker comes back after {victim}; the server's log ends with:\n{}",
                self.end_of_log()
            ))
        })?;
        Ok(())
    }

    fn resume_all(&self) -> Result<()> {
        let resume =
            "select herald.resume(s.name) from herald.subscription s where s.state = 'paused'";
        self.cluster.connect(DATABASE)?.batch_execute(resume)?;
        Ok(())
    }

    fn drain(&self) -> Result<bool> {
        let sql = "select herald.wait(timeout => '60 s')";
        Ok(self.cluster.connect(DATABASE)?.query_one(sql, &[])?.get(0))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let _ = self.receiver.kill();
        let _ = self.receiver.wait();
    }
}

/// Starts the program `herald-receiver`, built beside this one. Returns it and its URL, without a path.
fn start_receiver(log: &PathBuf) -> Result<(Child, String)> {
    let program = env::current_exe()
        .map_err(Error::io("looking for herald-receiver"))?
        .with_file_name("herald-receiver");
    let mut receiver = Command::new(&program)
        .args(["--quiet", "--secret", SECRET])
        .args(["--delay", &ANSWER.as_millis().to_string()])
        .args(["--refuse-once", PATHS[1]])
        .arg("--log")
        .arg(log)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Error::io(format!("starting {}", program.display())))?;
    let mut said = String::new();
    if let Some(output) = receiver.stdout.take() {
        BufReader::new(output)
            .read_line(&mut said)
            .map_err(Error::io("reading what herald-receiver says"))?;
    }
    let url = said.trim().strip_prefix("listening on ");
    let url = url.ok_or_else(|| Error::Setup(format!("herald-receiver said {said:?}")))?;
    Ok((receiver, url.to_owned()))
}
