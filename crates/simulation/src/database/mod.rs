//! The modelled PostgreSQL: transactions with ids and snapshots, a sequence, a write-ahead log whose end is lost in a
//! crash, and tables.
//!
//! Changes are made when their transaction commits, and remembered until the commit is flushed, so that a crash can
//! undo them.

pub mod rows;
mod sequence;
mod sessions;

use std::collections::{BTreeSet, VecDeque};

use herald_core::snapshot::Snapshot;
use herald_dispatch::log::Window;

use self::rows::{Change, Notice, Tables, WindowRow};
use self::sequence::Sequence;
use self::sessions::Sessions;
pub use self::sessions::{Open, SessionId};

/// For how long a crash may undo an asynchronous commit: three times wal_writer_delay, in microseconds.
const FLUSHED_AFTER: i64 = 600_000;

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Flushed,
    /// A crash may undo it.
    Asynchronous,
}

#[derive(Debug)]
pub struct Database {
    pub tables: Tables,
    pub sequence: Sequence,
    pub(crate) sessions: Sessions,
    next_xid: u64,
    /// The next id according to the write-ahead log on disk: after a crash, later ids are assigned again.
    durable_xid: u64,
    last_ended: u64,
    running: BTreeSet<u64>,
    snapshot: Option<Snapshot>,
    /// The end of the write-ahead log, and how far it is on disk.
    written: u64,
    flushed: u64,
    unflushed: VecDeque<Commit>,
    orders: u64,
    notices: u64,
    /// A commit had something for the worker, which has not looked since.
    pub is_woken: bool,
    /// The worker has to be woken.
    pub latch: bool,
}

/// A commit that a crash may undo.
#[derive(Debug)]
struct Commit {
    at: u64,
    made_at: i64,
    xid: u64,
    next_xid: u64,
    undo: Vec<Change>,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            tables: Tables::default(),
            sequence: Sequence::default(),
            sessions: Sessions::default(),
            next_xid: 100,
            durable_xid: 100,
            last_ended: 99,
            running: BTreeSet::new(),
            snapshot: None,
            written: 1,
            flushed: 1,
            unflushed: VecDeque::new(),
            orders: 0,
            notices: 0,
            is_woken: false,
            latch: false,
        }
    }
}

impl Database {
    /// Begins the log, with nothing to read.
    pub fn install(&mut self) {
        let snapshot = self.snapshot();
        let window = Window::recovered(0, (snapshot.clone(), snapshot), (0, 0), 0);
        let row = WindowRow {
            window,
            is_closed: true,
        };
        self.tables.apply(Change::Window(0, Some(Box::new(row))));
    }

    pub fn next_xid(&self) -> u64 {
        self.next_xid
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    /// Assigns an id to a transaction that writes for the first time.
    pub fn begin(&mut self) -> u64 {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.running.insert(xid);
        self.snapshot = None;
        xid
    }

    /// Returns a snapshot of what can be seen now.
    pub fn snapshot(&mut self) -> Snapshot {
        if let Some(snapshot) = &self.snapshot {
            return snapshot.clone();
        }
        let xmax = self.last_ended + 1;
        let running: Vec<String> = self.running.range(..xmax).map(u64::to_string).collect();
        let xmin = self.running.first().map_or(xmax, |first| xmax.min(*first));
        let text = format!("{xmin}:{xmax}:{}", running.join(","));
        let snapshot: Snapshot = text.parse().expect("it is the text of a snapshot");
        self.snapshot = Some(snapshot.clone());
        snapshot
    }

    /// Returns a notice from this transaction to the worker.
    pub fn notice(&mut self, xid: u64, about: rows::About) -> Change {
        self.notices += 1;
        Change::Notice(self.notices, Some(Notice { xid, about }))
    }

    /// Returns the order of the next commit.
    pub fn next_order(&self) -> u64 {
        self.orders + 1
    }

    /// Commits a transaction with these changes, which become visible.
    pub fn commit(&mut self, xid: u64, changes: Vec<Change>, durability: Durability, elapsed: i64) {
        self.orders += 1;
        let wakes = changes
            .iter()
            .any(|change| matches!(change, Change::Event(..) | Change::Notice(_, Some(_))));
        let mut undo = Vec::with_capacity(changes.len());
        for change in changes {
            undo.push(self.tables.apply(change));
        }
        self.log(xid, undo, elapsed);
        if durability == Durability::Flushed {
            self.flush();
        }
        self.end(xid);
        // A commit that finds the flag set does not touch the latch.
        if wakes && !self.is_woken {
            self.is_woken = true;
            self.latch = true;
        }
    }

    /// Runs a transaction of a single statement.
    pub fn autocommit(&mut self, durability: Durability, elapsed: i64, changes: Vec<Change>) {
        let xid = self.begin();
        self.commit(xid, changes, durability, elapsed);
    }

    /// Rolls back a transaction, which leaves only its id behind.
    pub fn roll_back(&mut self, xid: u64, elapsed: i64) {
        self.log(xid, Vec::new(), elapsed);
        self.end(xid);
    }

    fn log(&mut self, xid: u64, undo: Vec<Change>, elapsed: i64) {
        self.written += 1;
        self.unflushed.push_back(Commit {
            at: self.written,
            made_at: elapsed,
            xid,
            next_xid: self.next_xid,
            undo,
        });
    }

    fn end(&mut self, xid: u64) {
        self.running.remove(&xid);
        self.last_ended = self.last_ended.max(xid);
        self.snapshot = None;
    }

    /// Draws a number, for a transaction that has its id.
    pub fn draw(&mut self) -> i64 {
        let (number, is_logged) = self.sequence.draw();
        if is_logged {
            self.written += 1;
            self.sequence.log(self.written);
        }
        number
    }

    /// Flushes everything that was written.
    pub fn flush(&mut self) {
        self.flushed = self.written;
        self.durable_xid = self.next_xid;
        self.unflushed.clear();
        self.sequence.flushed(self.flushed);
    }

    /// Flushes old commits, as the walwriter does.
    pub fn flush_older(&mut self, elapsed: i64) {
        while let Some(first) = self.unflushed.front()
            && first.made_at + FLUSHED_AFTER <= elapsed
        {
            (self.flushed, self.durable_xid) = (first.at, first.next_xid);
            self.unflushed.pop_front();
        }
        self.sequence.flushed(self.flushed);
    }

    pub fn is_flushed(&self, written: u64) -> bool {
        written <= self.flushed
    }

    /// Returns whether a crash may undo the commit of this transaction.
    pub fn may_vanish(&self, xid: u64) -> bool {
        self.unflushed.iter().any(|commit| commit.xid == xid)
    }

    /// Crashes the server. Of what is not flushed, the first part, as large as the fraction `found`, survives. Returns
    /// the events whose commits are undone.
    pub fn crash(&mut self, found: f64) -> Vec<rows::EventRow> {
        let kept = (self.unflushed.len() as f64 * found) as usize;
        for commit in self.unflushed.drain(..kept) {
            (self.flushed, self.durable_xid) = (commit.at, commit.next_xid);
        }
        let mut gone = Vec::new();
        for commit in self.unflushed.drain(..).rev() {
            for change in commit.undo.into_iter().rev() {
                if let Change::Event(_, Some(row)) = self.tables.apply(change) {
                    gone.push(*row);
                }
            }
        }
        self.written = self.flushed;
        self.sequence.crash(self.flushed);
        self.running = self.sessions.crash();
        // Ids without a trace on disk are assigned again.
        self.next_xid = self.durable_xid;
        self.last_ended = self.next_xid - 1;
        self.snapshot = None;
        self.is_woken = false;
        self.latch = false;
        gone
    }
}
