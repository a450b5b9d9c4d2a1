//! A subscription whose deliveries become pending, beside a neighbour that must be served whatever happens to them.
#![allow(dead_code, unreachable_pub)] // Each test file uses a part of this.

use std::thread;
use std::time::Duration;

use herald_trial::{Cluster, Mode, Receiver};

use crate::common::{self, Database, receiver_with, worker_of};

/// Counts the events that the shop got and the worker recorded as delivered.
pub const RECORDED: &str =
    "select count(*) from herald.attempt where subscription ~ 'shop' and outcome = 'delivered'";
/// Options of the shop: events of type `held`, and a second attempt soon after the first.
pub const RETRY_SOON: &str = "retry_schedule => '{300 ms}', retry_jitter => 0, types => '{held}'";

/// A database with a subscription `shop` for events of type `held`, each of which fails once, and a healthy neighbour
/// for all others.
pub struct Shop<'c> {
    pub db: Database,
    pub receiver: Receiver,
    pub neighbour: Receiver,
    events: usize,
    cluster: &'c Cluster,
}

impl<'c> Shop<'c> {
    pub fn new(cluster: &'c Cluster, database: &str) -> Self {
        Self::of(
            cluster,
            Database::new(cluster, database),
            "shop",
            RETRY_SOON,
        )
    }

    /// Sets up the same with this name and these options for the subscription, for instance a tenant's.
    pub fn of(cluster: &'c Cluster, mut db: Database, name: &str, options: &str) -> Self {
        let receiver = receiver_with(Mode::flaky(1, 2));
        let neighbour = common::receiver();
        db.subscribe(name, &receiver, options);
        db.subscribe("neighbour", &neighbour, "types => '{other}'");
        Self {
            db,
            receiver,
            neighbour,
            events: 0,
            cluster,
        }
    }

    /// Asserts that an event of the neighbour's is delivered, and that this is recorded.
    #[track_caller]
    pub fn neighbour_is_served(&mut self) {
        self.events += 1;
        self.db.emit("other");
        self.db.until(
            "select count(*) from herald.attempt where subscription = 'neighbour' and outcome = 'delivered'",
            &self.events.to_string(),
        );
        assert_eq!(self.neighbour.accepted(), self.events);
    }

    /// Emits `count` events and waits until they wait for their second attempt.
    #[track_caller]
    pub fn fail_once(&mut self, count: usize) {
        self.db.run(&format!(
            "select herald.emit('held') from generate_series(1, {count})"
        ));
        self.db
            .until("select count(*) from herald.pending", &count.to_string());
    }

    /// Asserts that the worker waits for no lock at least four times in five.
    #[track_caller]
    pub fn worker_rarely_waits(&mut self) {
        let worker = worker_of(self.cluster, &self.db.name);
        let waits = (0..100)
            .filter(|_| {
                thread::sleep(Duration::from_millis(20));
                self.db.truth(&format!(
                    "select exists (select from pg_locks where pid = {worker} and not granted)"
                ))
            })
            .count();
        assert!(waits < 20, "the worker waited at {waits} of 100 moments");
    }

    pub fn session(&self) -> Database {
        self.db.session(self.cluster)
    }
}
