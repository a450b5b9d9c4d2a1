//! The store keeps the same contract as the simulation's model: in a worker's process, in its own database, with
//! sessions that commit.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use herald_core::subscription::Subscription;
use herald_dispatch::log::{Position, Ring};
use herald_simulation::contract::{Subject, claims};
use pgrx::prelude::*;
use postgres::{Client, NoTls};

use crate::pg::transaction::transaction;
use crate::pg::{catalog, process};
use crate::settings;
use crate::store::{self, Configured, PgStore};

const DATABASE: &str = "contract";

/// Returns the address of this server for outside connections. Must be called in a transaction.
fn address() -> String {
    let sql = "select format('host=%L port=%s user=%L', split_part(current_setting('unix_socket_directories'), ', ', 1),
                             current_setting('port'), current_user)";
    let address = Spi::get_one(sql).expect("settings can be read");
    address.expect("they are set")
}

/// Opens a session from outside.
fn connect(address: &str, database: &str) -> Client {
    Client::connect(&format!("{address} dbname={database}"), NoTls)
        .unwrap_or_else(|error| panic!("{address}: {error}"))
}

struct Real {
    store: PgStore,
    address: String,
    admin: Client,
    sessions: BTreeMap<u8, Client>,
}

impl Real {
    fn new() -> Self {
        let (extension, event_seq, address) = transaction(|| {
            (
                catalog::extension().expect("the extension is there"),
                catalog::relation("herald_internal.event_seq").expect("it has a sequence"),
                address(),
            )
        })
        .expect("the catalog can be read");
        Self {
            store: PgStore {
                extension,
                event_seq,
                url_policies: settings::url_policies().expect("the settings are right"),
                configured: Configured::now(extension).expect("the settings can be read"),
            },
            admin: connect(&address, DATABASE),
            address,
            sessions: BTreeMap::new(),
        }
    }

    fn run(&mut self, sql: &str) {
        self.admin
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Restores the state that a claim may assume.
    fn clear(&mut self) {
        self.run(
            "select herald.subscribe('shop', url => 'https://example.com/')
             where not exists (select from herald_internal.subscription);
             delete from herald.pending;
             delete from herald_internal.dead_letter;
             update herald.subscription set max_backlog = null, state = 'active' where name = 'shop';
             delete from herald_internal.config_change",
        );
    }
}

impl Subject for Real {
    type Store = PgStore;

    fn store(&mut self) -> &mut PgStore {
        &mut self.store
    }

    fn now(&self) -> i64 {
        chrono::Utc::now().timestamp_micros()
    }

    fn ring(&mut self) -> Ring {
        store::restore(self.now())
            .expect("the windows can be read")
            .1
    }

    fn begin(&mut self, session: u8, events: u16) {
        let sql = format!(
            "begin; select herald.emit('order.paid', to_jsonb(n)) from generate_series(1, {events}) n"
        );
        let open = || connect(&self.address, DATABASE);
        let client = self.sessions.entry(session).or_insert_with(open);
        client.batch_execute(&sql).expect("events can be written");
    }

    fn commit(&mut self, session: u8, is_flushed: bool) {
        let durability = if is_flushed { "on" } else { "off" };
        let sql = format!("set local synchronous_commit = {durability}; commit");
        let client = self.sessions.get_mut(&session).expect("it began");
        client.batch_execute(&sql).expect("it can commit");
    }

    fn roll_back(&mut self, session: u8) {
        let client = self.sessions.get_mut(&session).expect("it began");
        client.batch_execute("rollback").expect("it can roll back");
    }

    fn subscription(&mut self) -> Arc<Subscription> {
        let policies = &self.store.url_policies;
        let loaded = transaction(|| {
            Spi::connect_mut(|client| {
                store::subscriptions::load(client, &[1], policies, None).pop()
            })
        });
        let loaded = loaded.expect("subscriptions can be read");
        loaded.expect("the subscription is there").config
    }

    fn change_url(&mut self) {
        self.run("update herald.subscription set url = 'https://' || gen_random_uuid() || '.example.com/'");
    }

    fn limit_backlog(&mut self, most: u32) {
        self.run(&format!(
            "update herald.subscription set max_backlog = {most}"
        ));
    }

    fn discard(&mut self) {
        self.run("select herald.discard('shop')");
    }

    fn has_open_windows(&mut self) -> bool {
        store::restore(self.now())
            .expect("the windows can be read")
            .0
            .has_rest()
    }

    fn lock(&mut self, seq: i64) {
        let sql = format!("begin; select from herald.pending where event_seq = {seq} for update");
        let mut client = connect(&self.address, DATABASE);
        client.batch_execute(&sql).expect("nobody else holds it");
        self.sessions.insert(u8::MAX, client);
    }

    fn position(&mut self) -> Position {
        let sql = "select pg_current_snapshot()::text, coalesce(pg_sequence_last_value('herald_internal.event_seq'), 0)";
        let row = self.admin.query_one(sql, &[]).expect("there is a snapshot");
        let snapshot: String = row.get(0);
        Position::restored(snapshot.parse().expect("a snapshot"), row.get(1))
    }
}

/// Plays the claims in the process of a worker of the database, and writes down each result there.
pub fn play(database: pg_sys::Oid) {
    process::take_signals();
    process::connect(database);
    crate::worker::prepare_session();
    let mut real = Real::new();
    for (name, claim) in claims() {
        real.clear();
        let kept = catch_unwind(AssertUnwindSafe(|| claim(&mut real)));
        let fault = kept.err().map(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            words.or_else(|| {
                panic
                    .downcast_ref::<&str>()
                    .map(|words| (*words).to_owned())
            })
        });
        let fault = fault.map_or("kept".to_owned(), |words| words.unwrap_or_default());
        let written = "insert into contract values ($1, $2)";
        real.admin
            .execute(written, &[&name, &fault])
            .expect("it can be written down");
        real.sessions.clear();
    }
}

#[pgrx::pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn the_store_keeps_every_claim_of_the_contract() {
        let address = address();
        // The database stays: DROP DATABASE would wait for this session, which waits for DROP DATABASE.
        connect(&address, "postgres")
            .batch_execute(&format!("create database {DATABASE}"))
            .unwrap();
        let mut client = connect(&address, DATABASE);
        let sql = "create extension pg_herald;
                   select herald.stop_worker();
                   create table contract (claim text, what text)";
        for statement in sql.split(';') {
            client.batch_execute(statement).unwrap();
        }
        let oid = client
            .query_one(
                "select oid from pg_database where datname = current_database()",
                &[],
            )
            .unwrap()
            .get::<_, u32>(0);
        assert!(process::start_worker(
            "contract",
            "contract",
            "pg_herald_contract_main",
            oid.into()
        ));
        let until = Instant::now() + Duration::from_secs(60);
        let expected = claims::<Real>().map(|(name, _)| format!("{name}: kept"));
        let mut found = Vec::new();
        while found.len() < expected.len() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
            let rows = client.query(
                "select claim || ': ' || what from contract order by ctid",
                &[],
            );
            found = rows
                .unwrap()
                .iter()
                .map(|row| row.get::<_, String>(0))
                .collect();
        }
        assert_eq!(found, expected);
    }
}
