//! The healthy subscription: one row at a time, at a steady pace, and the time from each commit to its receipt.
//!
//! Before each row, another goes into an unwatched table and is relayed by the suite's own sender. What that takes
//! longer beside the attacks is the cost of the machine and PostgreSQL for everybody, and not the worker's.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;

use super::arena::Arena;
use super::relay::Relay;
use crate::clock::now_micros;
use crate::error::Result;
use crate::receiver::{Keep, Receiver, Request};

/// The time between two commits: 100 per second.
const PACE: Duration = Duration::from_millis(10);
/// A commit without an answer counts if its row exists.
const IDS: &str = "select id from shop";

/// The measurements of one phase, the quickest first.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// When each commit was acknowledged, and how long its receipt took, in microseconds.
    pub(super) latencies: Vec<(i64, i64)>,
    /// How long each commit of an unwatched row took, in microseconds.
    pub(super) plain: Vec<i64>,
    /// How long each such commit took to the receipt of the relay's request, in microseconds.
    pub(super) relay: Vec<i64>,
    /// How long the receipts took, each minus what the relay took beyond its median at that moment, in microseconds.
    pub(super) apart: Vec<i64>,
}

impl Measured {
    /// Merges both phases.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.latencies.extend(other.latencies);
        self.latencies.sort_unstable_by_key(|(_, took)| *took);
        for (all, more) in [
            (&mut self.plain, other.plain),
            (&mut self.relay, other.relay),
            (&mut self.apart, other.apart),
        ] {
            all.extend(more);
            all.sort_unstable();
        }
        self
    }
}

pub(super) struct Healthy<'a> {
    arena: &'a Arena,
    client: Option<Client>,
    /// When each commit was acknowledged.
    committed: HashMap<i64, i64>,
    /// When each commit of an unwatched row began and ended.
    plain: HashMap<i64, (i64, i64)>,
    relayed: Receiver,
    _relay: Relay,
    next: i64,
}

impl<'a> Healthy<'a> {
    pub(super) fn start(arena: &'a Arena) -> Result<Self> {
        let relayed = Receiver::builder().keep(Keep::Heads).start()?;
        let mut healthy = Self {
            arena,
            client: None,
            committed: HashMap::new(),
            plain: HashMap::new(),
            _relay: Relay::start(arena.superuser()?, relayed.port())?,
            relayed,
            next: 0,
        };
        // Prove that the receiver answers before measuring anything.
        healthy.measure(Duration::from_secs(2));
        Ok(healthy)
    }

    /// Commits for `lasting`.
    pub(super) fn measure(&mut self, lasting: Duration) -> Measured {
        let (first, began_at) = (self.next, Instant::now());
        self.plain.clear();
        let mut due = began_at;
        while began_at.elapsed() < lasting {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // A slow commit is not made up for: the next commits would wait for each other.
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
        let took = |(id, at): (&i64, &i64)| Some((*id, (*at, (received.get(id)? - at).max(0))));
        let measured = self.committed.iter().filter(|(id, _)| **id >= first);
        let took: Vec<(i64, (i64, i64))> = measured.filter_map(took).collect();
        let relayed = self.relayed_within();
        let relay = sorted(relayed.values().copied());
        let mostly = relay.get(relay.len() / 2).copied().unwrap_or(0);
        let apart = took.iter().map(|(id, (_, took))| {
            let slower = relayed.get(id).map_or(0, |relay| relay - mostly);
            (took - slower.max(0)).max(0)
        });
        let apart = sorted(apart);
        let mut latencies: Vec<(i64, i64)> = took.into_iter().map(|(_, took)| took).collect();
        latencies.sort_unstable_by_key(|(_, took)| *took);
        Measured {
            latencies,
            plain: sorted(self.plain.values().map(|(from, to)| to - from)),
            relay,
            apart,
        }
    }

    /// Returns how long the relay took for each row of the current phase.
    fn relayed_within(&self) -> HashMap<i64, i64> {
        let requests = self.relayed.requests();
        let took = |request: &Arc<Request>| {
            let id: i64 = request.webhook_id.as_ref()?.parse().ok()?;
            let (_, committed_at) = self.plain.get(&id)?;
            Some((id, (request.at_micros - committed_at).max(0)))
        };
        requests.iter().filter_map(took).collect()
    }

    /// Commits a row. If that fails, the next commit uses the next number and a new session.
    fn commit(&mut self) {
        let id = self.next;
        self.next += 1;
        if self.client.is_none() {
            self.client = self.arena.superuser().ok();
        }
        let Some(client) = &mut self.client else {
            return;
        };
        let mut time = |sql: String| {
            let began_at = now_micros();
            client.batch_execute(&sql)?;
            Ok::<_, postgres::Error>((began_at, now_micros()))
        };
        let plain = format!("insert into plain values ({id}); notify plain, '{id}'");
        let shop = format!("insert into shop values ({id})");
        match time(plain).and_then(|plain| Ok((plain, time(shop)?))) {
            Ok((plain, (_, committed_at))) => {
                self.plain.insert(id, plain);
                self.committed.insert(id, committed_at);
            }
            Err(_) => self.client = None,
        }
    }

    pub(super) fn committed(&self) -> usize {
        self.committed.len()
    }

    /// Waits for the receiver, and returns the commits that it did not get in time, acknowledged or not.
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

fn sorted(numbers: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut numbers: Vec<i64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// Returns when each row was first received.
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
