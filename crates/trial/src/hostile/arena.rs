//! The server, its roles and subscriptions, and the checks at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::unistd::gettid;
use postgres::{Client, NoTls};

use super::attack::Scene;
use super::evidence::{self, Evidence};
use super::role::Role;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::receiver::{Keep, Mode, Receiver};
use crate::wait::within;

const DATABASE: &str = "hostile";
/// Limits how long an actor waits.
const STATEMENT_TIMEOUT: &str = "-c statement_timeout=5s";
/// How long after the last attack everything due must be delivered.
const DRAIN: Duration = Duration::from_secs(120);
/// Sick receivers, each with a subscription.
pub(super) const SICK: usize = 4;

/// Subscriptions that match nothing, so that changing one shows the cost of reading all.
const IDLE: u32 = 300;

const TABLES: &str = "
    create table shop (id bigint primary key);
    select herald.watch('shop');
    create table plain (id bigint primary key);
    create table board (id bigserial primary key, words text, data jsonb, document json);
    select herald.watch('board', subject => 'new.words', key => 'new.words', on_error => 'capture');
    create role writer login;
    grant insert on board to writer;
    grant usage on sequence board_id_seq to writer;
    create role ann login;
    create role bob login;
    create role eve login;
    insert into herald.tenant (name, role, plan)
    values ('ann', 'ann', 'enterprise'), ('bob', 'bob', 'enterprise'), ('eve', 'eve', 'enterprise');
    grant execute on function herald.emit to ann, bob, eve;
    create role carol login;
    grant create on database hostile to carol;
    select herald.grant_access('carol', 'admin');
    create schema carol authorization carol;
";

/// Log lines about a process that ended abnormally.
const DEATHS: [&str; 5] = [
    "was terminated by signal",
    "terminating any other active server processes",
    "PANIC:",
    "stack overflow",
    "memory allocation",
];

#[derive(Debug)]
pub(super) struct Arena {
    cluster: Cluster,
    pub(super) healthy: Receiver,
    witness: Receiver,
    pub(super) sick: Vec<Receiver>,
    /// The receiver of stored values, and a receiver that must never get them.
    trusted: Receiver,
    spy: Receiver,
}

impl Arena {
    pub(super) fn open(evidence: &Arc<Evidence>) -> Result<Self> {
        let cluster = Cluster::builder()
            .fsync(false)
            .setting("herald.tenant_networks", "127.0.0.0/8")
            .setting("herald.request_origin", "db.example.com")
            .setting("deadlock_timeout", "100ms")
            .start()?;
        let receiver = || Receiver::builder().keep(Keep::Counts);
        let spying = || {
            let evidence = Arc::clone(evidence);
            receiver().observe(move |request| evidence.look_at_request(request))
        };
        let arena = Self {
            healthy: Receiver::start()?,
            witness: receiver().start()?,
            sick: thread::scope(|scope| {
                let sick = scope.spawn(|| {
                    step_back();
                    (0..SICK).map(|_| spying().start()).collect::<Result<_>>()
                });
                sick.join().expect("no panic")
            })?,
            trusted: receiver().start()?,
            spy: spying().start()?,
            cluster,
        };
        let mut client = arena.cluster.create_database_with_herald(DATABASE)?;
        client.batch_execute(TABLES)?;
        let mut subscribe = |name: &str, url: &str, options: &str| {
            client.batch_execute(&format!(
                "select herald.subscribe('{name}', url => '{url}', {options})"
            ))
        };
        subscribe(
            "healthy",
            &arena.healthy.url("/"),
            "types => '{public.shop.*}'",
        )?;
        subscribe("witness", &arena.witness.url("/"), "max_concurrency => 20")?;
        for (number, sick) in arena.sick.iter().enumerate() {
            let format = ["structured", "binary", "data", "raw"][number % 4];
            let options = format!(
                "format => '{format}', timeout => '2 s', retry_schedule => '{{100 ms, 1 s, 2 s}}', max_age => '10 min'"
            );
            subscribe(&format!("sick.{number}"), &sick.url("/"), &options)?;
        }
        let template =
            r#"format => 'template', template => '{"type": {{ type }}, "data": {{ data }}}'"#;
        subscribe("template", &arena.witness.url("/template"), template)?;
        arena.create_forbidden_values(&mut client)?;
        Ok(arena)
    }

    /// Creates secrets, names and data that some actors must never see.
    fn create_forbidden_values(&self, client: &mut Client) -> Result<()> {
        let evidence::Values {
            header,
            bearer,
            client_secret,
            guessed,
        } = evidence::VALUES;
        let url = self.trusted.url("/");
        let token_url = self.trusted.url("/token");
        let headers = format!(r#"headers => '{{"X-Key": "{header}"}}', types => '{{kept}}'"#);
        let auth = format!(r#"auth => '{{"type": "bearer", "token": "{bearer}"}}'"#);
        let oauth = format!(
            r#"auth => '{{"type": "oauth2", "token_url": "{token_url}", "client_id": "herald", "client_secret": "{client_secret}"}}'"#
        );
        let guess = format!(r#"headers => '{{"X-Key": "{guessed}"}}', types => '{{kept}}'"#);
        let mut subscribe = |name: &str, options: &str| {
            client.batch_execute(&format!(
                "select herald.subscribe('{name}', url => '{url}', {options})"
            ))
        };
        subscribe("trusted", &format!("{headers}, {auth}"))?;
        subscribe("trusted.oauth", &format!("{headers}, {oauth}"))?;
        subscribe("trusted.guessed", &guess)?;
        for (tenant, canary) in [("ann", evidence::ANNS), ("bob", evidence::BOBS)] {
            subscribe(&format!("{tenant}/{canary}"), &headers)?;
        }
        subscribe(evidence::PLATFORMS, "types => '{kept}'")?;
        client.batch_execute(evidence::TRAP)?;
        client.batch_execute(&format!(
            "select herald.subscribe('idle.' || n, url => '{url}', types => '{{never}}') from generate_series(1, {IDLE}) n"
        ))?;
        for (tenant, canary) in [
            ("'ann'", evidence::ANNS),
            ("'bob'", evidence::BOBS),
            ("null", evidence::PLATFORMS),
        ] {
            client.batch_execute(&format!(
                r#"select herald.emit('kept', '{{"of": "{canary}"}}', id => '{canary}', subject => '{canary}', tenant => {tenant})"#
            ))?;
        }
        Ok(())
    }

    /// Returns the scene as an actor knows it.
    pub(super) fn scene(&self, role: Role) -> Scene {
        let (own, others) = match role {
            Role::Tenant("ann") => ("ann/", "bob/"),
            Role::Tenant("bob") => ("bob/", "ann/"),
            Role::Tenant(_) => ("eve/", "ann/"),
            Role::Writer | Role::Admin | Role::Operator => ("", "ann/"),
        };
        Scene {
            sick: self.sick[0].url("/"),
            spy: self.spy.url("/"),
            own,
            others,
        }
    }

    pub(super) fn session(&self, role: Role) -> Result<Client> {
        let mut config = self.cluster.config(DATABASE);
        config.user(role.name()).options(STATEMENT_TIMEOUT);
        Ok(config.connect(NoTls)?)
    }

    pub(super) fn superuser(&self) -> Result<Client> {
        self.cluster.connect(DATABASE)
    }

    pub(super) fn worker(&self) -> Result<i32> {
        let pid = within(Duration::from_secs(20), || {
            self.cluster.worker_pid(DATABASE).ok().flatten()
        });
        pid.ok_or_else(|| Error::Setup("no worker runs".to_owned()))
    }

    /// Ends what the actors left behind.
    pub(super) fn heal(&self) -> Result<()> {
        for sick in &self.sick {
            sick.up()?;
            sick.set_mode(Mode::ok());
            sick.shut_connections();
        }
        self.cluster.wait_until_ready()?;
        let mut client = self.superuser()?;
        let prepared = client.query("select gid from pg_prepared_xacts", &[])?;
        for row in prepared {
            client.batch_execute(&format!("rollback prepared '{}'", row.get::<_, String>(0)))?;
        }
        Ok(())
    }

    /// Waits until the witness has received or buried every event, and returns how many are left.
    pub(super) fn unaccounted(&self) -> Result<i64> {
        let mut client = self.superuser()?;
        let mut count = || -> Result<i64> {
            let row = client.query_one(
                "select count(*) from herald.event e
                 cross join herald.subscription s
                 where s.name = 'witness' and e.type not like 'herald.%'
                 and not exists (select from herald_internal.attempt a
                                 where a.event_seq = e.seq and a.subscription_id = s.id and a.outcome = 'delivered')
                 and not exists (select from herald_internal.dead_letter d where d.event_seq = e.seq and d.subscription_id = s.id)",
                &[],
            )?;
            Ok(row.get(0))
        };
        let none = within(self.drain(), || count().ok().filter(|count| *count == 0));
        none.map_or_else(count, Ok)
    }

    /// Returns how long to wait for what is due. After a death the verdict is known, and the next worker may be
    /// delayed.
    pub(super) fn drain(&self) -> Duration {
        if self.deaths().is_empty() {
            DRAIN
        } else {
            Duration::from_secs(1)
        }
    }

    /// Returns the worker's log lines without their time, and how often each occurs.
    pub(super) fn said(&self) -> BTreeMap<String, usize> {
        let mut said = BTreeMap::new();
        for line in self.cluster.log().lines() {
            if let Some(at) = line.find("pg_herald: ") {
                let words: String = line[at..].chars().take(160).collect();
                *said.entry(words).or_default() += 1;
            }
        }
        said
    }

    /// Returns the file in which the worker notes its current step.
    pub(super) fn life(&self) -> Result<PathBuf> {
        let row = self.superuser()?.query_one(
            "select oid::text from pg_database where datname = current_database()",
            &[],
        )?;
        let name = format!("pg_stat_tmp/pg_herald_{}", row.get::<_, String>(0));
        Ok(self.cluster.data_dir().join(name))
    }

    pub(super) fn log(&self) -> String {
        self.cluster.log()
    }

    pub(super) fn deaths(&self) -> Vec<String> {
        let log = self.cluster.log();
        let is_death = |line: &&str| DEATHS.iter().any(|words| line.contains(words));
        log.lines().filter(is_death).map(str::to_owned).collect()
    }
}

/// Yields the processors to the server, for this thread and all threads it starts. In production, a receiver burns
/// another machine's processors.
pub(super) fn step_back() {
    let mut renice = Command::new("renice");
    renice.args(["-n", "19", "-p", &gettid().to_string()]);
    // Where that is impossible, the machine is busier.
    let _ = renice.output();
}
