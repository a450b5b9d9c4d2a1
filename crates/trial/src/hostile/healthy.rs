//! The healthy subscription: a row at a time, at a steady pace, and the time from each commit to its receipt.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;

use super::arena::Arena;
use crate::clock::now_micros;
use crate::receiver::{Receiver, Request};

/// Between two commits: 100 a second.
const PACE: Duration = Duration::from_millis(10);
/// A commit that nobody was told the end of is counted if its event is there.
const IDS: &str = "select id from shop";

pub(super) struct Healthy<'a> {
    arena: &'a Arena,
    client: Option<Client>,
    /// When each commit was heard of.
    committed: HashMap<i64, i64>,
    next: i64,
}

impl<'a> Healthy<'a> {
    pub(super) fn start(arena: &'a Arena) -> Self {
        let mut healthy = Self {
            arena,
            client: None,
            committed: HashMap::new(),
            next: 0,
        };
        // The receiver is known to answer before anything is measured.
        healthy.measure(Duration::from_secs(2));
        healthy
    }

    /// Commits for so long, and returns when each commit was heard of and how long its receipt took, in microseconds,
    /// the quickest first.
    pub(super) fn measure(&mut self, lasting: Duration) -> Vec<(i64, i64)> {
        let (first, began_at) = (self.next, Instant::now());
        let mut due = began_at;
        while began_at.elapsed() < lasting {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // One that took long is not made up for: the next commits would wait for each other.
            due = due.max(Instant::now()) + PACE;
            self.commit();
        }
        let expected = self.committed.len();
        self.arena
            .healthy
            .holds_within(self.arena.drain(), |receiver| {
                receiver.accepted() >= expected
            });
        let received = receipts(&self.arena.healthy);
        let took = |(id, at): (&i64, &i64)| Some((*at, (received.get(id)? - at).max(0)));
        let measured = self.committed.iter().filter(|(id, _)| **id >= first);
        let mut latencies: Vec<(i64, i64)> = measured.filter_map(took).collect();
        latencies.sort_unstable_by_key(|(_, took)| *took);
        latencies
    }

    /// A commit that fails is tried again with the next number, in a new session.
    fn commit(&mut self) {
        let id = self.next;
        self.next += 1;
        if self.client.is_none() {
            self.client = self.arena.superuser().ok();
        }
        if let Some(client) = &mut self.client {
            match client.batch_execute(&format!("insert into shop values ({id})")) {
                Ok(()) => {
                    self.committed.insert(id, now_micros());
                }
                Err(_) => self.client = None,
            }
        }
    }

    pub(super) fn committed(&self) -> usize {
        self.committed.len()
    }

    /// The commits that the receiver has not got when their time has passed: those that were heard of, and others.
    pub(super) fn wait_for_all(&self) -> Vec<i64> {
        let rows = self
            .arena
            .superuser()
            .and_then(|mut client| Ok(client.query(IDS, &[])?));
        let ids: Vec<i64> = match rows {
            Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
            Err(_) => self.committed.keys().copied().collect(),
        };
        let receiver = &self.arena.healthy;
        receiver.holds_within(self.arena.drain(), |receiver| {
            receiver.accepted() >= ids.len()
        });
        let received = receipts(receiver);
        ids.into_iter()
            .filter(|id| !received.contains_key(id))
            .collect()
    }
}

/// When each row was first received.
fn receipts(receiver: &Receiver) -> HashMap<i64, i64> {
    let mut receipts = HashMap::new();
    for request in receiver.requests() {
        if let Some(id) = id_of(&request) {
            receipts.entry(id).or_insert(request.at_micros);
        }
    }
    receipts
}

fn id_of(request: &Arc<Request>) -> Option<i64> {
    request.json().pointer("/data/record/id")?.as_i64()
}
