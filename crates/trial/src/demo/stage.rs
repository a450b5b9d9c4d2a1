//! The stage: a cluster, pgbench's tables with two watches, three receivers, four subscriptions.

use std::path::Path;
use std::sync::Arc;

use postgres::Client;

use super::book::Book;
use super::fact::Fact;
use super::leafengines::{self, ALERT};
use super::options::Options;
use crate::cluster::Cluster;
use crate::error::Result;
use crate::receiver::{Keep, Mode, Receiver, Request};
use crate::workload::Pgbench;

pub const DATABASE: &str = "demo";
pub const SCALE: u32 = 10;
pub const CLIENTS: u32 = 8;

/// 32 random bytes, as Standard Webhooks requires of secrets.
const NEW_SECRET: &str = "select 'whsec_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64')";

const WATCHES: [&str; 2] = [
    "select from herald.watch('public.pgbench_history', operations => '{insert}')",
    "select from herald.watch('public.pgbench_tellers', operations => '{update}')",
];

const SUBSCRIBE: &str = "select from herald.subscribe($1, url => $2, types => $3, secret => $4, retry_schedule => $5::text[]::interval[])";

#[derive(Debug)]
pub struct Stage {
    pub cluster: Cluster,
    pub down: Receiver,
    /// One per subscription, in the order of [`SUBSCRIPTIONS`].
    pub books: Vec<Book>,
    healthy: Receiver,
    flaky: Receiver,
}

/// A subscription, and the facts due to it. `wants` says in Rust what `types` tells pg_herald.
#[derive(Debug)]
pub struct Subscription {
    pub name: &'static str,
    pub about: &'static str,
    types: &'static [&'static str],
    retry_schedule: fn() -> Vec<&'static str>,
    pub wants: fn(&Fact) -> bool,
}

pub const ALERTS: &str = "alerts";

pub const SUBSCRIPTIONS: [Subscription; 4] = [
    Subscription {
        name: "healthy",
        about: "answers 200 and verifies every signature",
        types: &["*"],
        retry_schedule: || vec!["200 ms", "500 ms", "1 s"],
        wants: |_| true,
    },
    Subscription {
        name: "flaky",
        about: "answers 500 to the first two of three attempts",
        types: &["public.pgbench_history.*", "dev.leafengines.*"],
        retry_schedule: || vec!["200 ms", "300 ms", "500 ms", "1 s"],
        wants: |fact| matches!(fact, Fact::History(_) | Fact::Emitted { .. }),
    },
    Subscription {
        name: "down",
        about: "its port is closed at first; enough attempts to outlast that",
        types: &[
            "public.pgbench_tellers.*",
            "dev.leafengines.identification.*",
        ],
        retry_schedule: || [vec!["200 ms", "400 ms", "700 ms"], vec!["1 s"; 60]].concat(),
        wants: |fact| match fact {
            Fact::Teller { .. } => true,
            Fact::Emitted { event_type, .. } => event_type.contains(".identification."),
            _ => false,
        },
    },
    Subscription {
        name: ALERTS,
        about: "the same closed port, but three attempts only: a dead letter",
        types: &[ALERT],
        retry_schedule: || vec!["200 ms", "300 ms"],
        wants: |fact| matches!(fact, Fact::Emitted { event_type, .. } if event_type == ALERT),
    },
];

impl Stage {
    pub fn build(options: Options) -> Result<Self> {
        println!("Making a throw-away PostgreSQL cluster with pg_herald in it ...");
        let cluster = Cluster::builder()
            .setting("track_commit_timestamp", "on")
            .setting("shared_buffers", "256MB")
            .start()?;
        println!("Making pgbench's tables at scale {SCALE} ...");
        let mut client = cluster.create_database_with_herald(DATABASE)?;
        Pgbench::on(&cluster, DATABASE).init(SCALE)?;
        for watch in WATCHES {
            client.batch_execute(watch)?;
        }
        let secret: String = client.query_one(NEW_SECRET, &[])?.get(0);
        let books: Vec<Book> = SUBSCRIPTIONS.iter().map(|_| Book::default()).collect();
        if options.drop_one {
            books[0].drop_one();
        }
        let stage = Self {
            healthy: receiver(&secret, Mode::ok(), &books)?,
            flaky: receiver(&secret, Mode::flaky(2, 3), &books)?,
            down: receiver(&secret, Mode::ok(), &books)?,
            cluster,
            books,
        };
        stage.down.down();
        stage.subscribe(&mut client, &secret)?;
        Ok(stage)
    }

    /// Prints what can be seen, before the run.
    pub fn introduce(&self, options: Options) {
        println!(
            "\nPostgreSQL {}, data and log in {}",
            self.cluster.major(),
            self.cluster
                .data_dir()
                .parent()
                .unwrap_or(Path::new("/"))
                .display()
        );
        let pace = match options.rate {
            0 => "as fast as it goes".to_owned(),
            rate => format!("{rate} transactions a second"),
        };
        println!(
            "Traffic: pgbench TPC-B, {CLIENTS} clients, {pace}, for {} s;",
            options.seconds
        );
        println!("         one more pgbench client whose transactions all roll back;");
        println!(
            "         {} LeafEngines events through herald.emit(), three in ten of them rolled back.",
            leafengines::EVENTS
        );
        println!("Watched: inserts into pgbench_history, updates of pgbench_tellers.\n");
        println!("Subscriptions:");
        for subscription in &SUBSCRIPTIONS {
            let types = subscription.types.join(", ");
            println!("  {:<9}{}", subscription.name, subscription.about);
            println!("  {:<9}{types} -> {}", "", self.url(subscription.name));
        }
        if options.drop_one {
            println!("To be broken: the receiver of `healthy` answers all and forgets one.");
        }
    }

    pub fn url(&self, subscription: &str) -> String {
        let receiver = match subscription {
            "healthy" => &self.healthy,
            "flaky" => &self.flaky,
            _ => &self.down,
        };
        receiver.url(&path(subscription))
    }

    fn subscribe(&self, client: &mut Client, secret: &str) -> Result<()> {
        for subscription in &SUBSCRIPTIONS {
            client.execute(
                SUBSCRIBE,
                &[
                    &subscription.name,
                    &self.url(subscription.name),
                    &subscription.types,
                    &secret,
                    &(subscription.retry_schedule)(),
                ],
            )?;
        }
        Ok(())
    }
}

/// Starts a receiver that keeps no requests: the books hold what the account needs.
fn receiver(secret: &str, mode: Mode, books: &[Book]) -> Result<Receiver> {
    let books: Arc<[Book]> = books.into();
    Receiver::builder()
        .secret(secret)
        .keep(Keep::Counts)
        .mode(mode)
        .observe(move |request| enter(&books, request))
        .start()
}

fn enter(books: &[Book], request: &Request) {
    let subscription = SUBSCRIPTIONS
        .iter()
        .position(|subscription| request.path == path(subscription.name));
    // A path without a subscription is a fault too; the first book wants everything, so the fault shows there.
    books[subscription.unwrap_or_default()].enter(request);
}

fn path(subscription: &str) -> String {
    format!("/{subscription}")
}
