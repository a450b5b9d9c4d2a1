//! Every public function, and every column that can be written, with unintended values: each refusal is in our own
//! words, names the argument and says what is allowed.
//!
//! The catalog lists the functions and columns, so new ones are played as well. Each call is rolled back.

#[path = "../common/mod.rs"]
mod common;
mod values;

use std::collections::BTreeMap;
use std::env;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use common::{Database, SOON, receiver};
use herald_trial::workload::Dice;
use herald_trial::{Cluster, at_size, figure};
use postgres::error::DbError;
use values::Values;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Repeats the same calls.
const SEED: &str = "HERALD_FUZZ_SEED";

/// How a value may be refused: as invalid (22023) or null (22004); as a name that is unknown (42704) or ambiguous
/// (42P09), an unsuitable column or table (42703, 42809, 42P01), a reserved type (42939), or not permitted (42501); as
/// too much (53400, 54000); as already present (23505, 55006) or needed (2BP01, 23503); because of the moment (55000,
/// 25000, F0000) or of the command (0A000, with a hint as all others).
const RIGHT: [&str; 19] = [
    "22023", "22004", "42704", "42P09", "42703", "42809", "42P01", "42939", "42501", "53400",
    "54000", "23505", "55006", "2BP01", "23503", "55000", "25000", "F0000", "0A000",
];
/// Functions that wait, which statement_timeout ends.
const WAITING: [&str; 4] = ["wait", "ping", "stop_worker", "restart_worker"];

/// A target for values: a function, or a statement that writes columns.
struct Target {
    name: String,
    kind: Kind,
    parameters: Vec<Parameter>,
}

#[derive(PartialEq)]
enum Kind {
    Function,
    Update,
    Insert,
}

struct Parameter {
    name: String,
    r#type: String,
    is_optional: bool,
    is_variadic: bool,
}

#[test]
fn every_refusal_uses_our_own_words() {
    let seed = match env::var(SEED) {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs(),
    };
    figure("seed", seed);
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "fuzz");
    let values = prepare(&mut db, &receiver.url("/"));
    let started_at = db.text("select pg_postmaster_start_time()");
    let targets = targets(&mut db);
    assert!(targets.len() > 40, "{} targets", targets.len());

    let mut dice = Dice::new(seed);
    let mut findings = BTreeMap::new();
    let calls = at_size(3_000, 60_000);
    for number in 0..calls {
        let target = &targets[number % targets.len()];
        let sql = target.statement(&mut dice, &values);
        if let Some(fault) = fault(&mut db, &sql)
            && let Some(complaint) = target.complaint(&fault)
        {
            findings.entry(complaint).or_insert(sql);
        }
    }
    figure("calls", calls);
    let list: Vec<String> = findings
        .iter()
        .map(|(complaint, sql)| format!("{complaint}\n    {}", cut(sql, 600)))
        .collect();
    assert!(list.is_empty(), "seed {seed}:\n{}", list.join("\n"));

    // Nothing has changed, and the server runs on.
    assert_eq!(db.text("select pg_postmaster_start_time()"), started_at);
    db.run("set statement_timeout = 0; select herald.start_worker()");
    assert_eq!(
        db.text("select string_agg(name, ' ' order by name) from herald.subscription"),
        "acme/own paused shop"
    );
    let before = receiver.total();
    db.run("insert into note values (99, 'last')");
    receiver.wait_until("the last event", |receiver| receiver.total() > before, SOON);
}

/// Creates one object of each kind that a call may be about.
fn prepare(db: &mut Database, url: &str) -> Values {
    db.watched_table();
    db.subscribe_at("shop", url, "");
    db.subscribe_at("paused", url, "");
    db.run(
        "create role fuzz_tenant; insert into herald.tenant (name, role, plan) values ('acme', 'fuzz_tenant', 'starter');
         insert into herald.plan (name) values ('own');
         create role fuzz_reader; select herald.grant_access('fuzz_reader', 'reader');
         create view seen as select * from note;
         select herald.pause('paused')",
    );
    db.subscribe_at("acme/own", "https://example.com/", "types => '{none}'");
    db.run("select herald.emit('order.paid', '{\"n\": 1}', id => 'one', tenant => 'acme')");
    db.until("select count(*) from herald.pending", "1");
    db.run("select herald.redeliver('shop', 'one'); select herald.discard('paused')");
    db.settle();
    db.run("set statement_timeout = '700ms'");
    Values::new(
        [
            "select min(id) from herald.subscription",
            "select min(uid::text) from herald.event",
            "select min(delivery_id) from herald.delivery",
        ]
        .map(|sql| db.text(sql))
        .into(),
    )
}

/// Returns the functions and columns in the catalog.
fn targets(db: &mut Database) -> Vec<Target> {
    let functions = "
        select p.oid::regprocedure::text, 'function', p.proname::text, a.name, format_type(a.type, null),
               a.number > p.pronargs - p.pronargdefaults, p.provariadic <> 0 and a.number = p.pronargs
        from pg_proc p
        left join lateral (
            select n.name, p.proargtypes[n.number - 1] as type, n.number
            from (
                select x.name, row_number() over (order by x.place) as number
                from unnest(p.proargnames, p.proargmodes) with ordinality x (name, mode, place)
                where coalesce(x.mode, 'i') in ('i', 'b', 'v')
            ) n
        ) a on true
        where p.pronamespace = 'herald'::regnamespace and p.prokind = 'f'
        order by 1, a.number";
    let columns = "
        select k.kind || ' ' || c.relname, k.kind, c.relname::text, a.attname::text, format_type(a.atttypid, null), true, false
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        cross join (values ('update'), ('insert')) k (kind)
        where c.oid in ('herald.subscription'::regclass, 'herald.tenant'::regclass, 'herald.plan'::regclass)
        and a.attname not in ('role_oid', 'role_cluster')
        order by 1, a.attnum";
    let mut targets: BTreeMap<String, Target> = BTreeMap::new();
    for query in [functions, columns] {
        for row in db.query(query, &[]).expect("the catalog") {
            let target = targets.entry(row.get(0)).or_insert_with(|| Target {
                name: row.get(2),
                kind: match row.get(1) {
                    "function" => Kind::Function,
                    "update" => Kind::Update,
                    _ => Kind::Insert,
                },
                parameters: Vec::new(),
            });
            if let Some(name) = row.get::<_, Option<String>>(3) {
                target.parameters.push(Parameter {
                    name,
                    r#type: row.get(4),
                    is_optional: row.get(5),
                    is_variadic: row.get(6),
                });
            }
        }
    }
    targets.into_values().collect()
}

impl Target {
    /// Returns a call with some of the parameters.
    fn statement(&self, dice: &mut Dice, values: &Values) -> String {
        let is_few = dice.below(3) > 0;
        let mut given: Vec<(&Parameter, String)> = self
            .parameters
            .iter()
            .filter(|parameter| {
                !parameter.is_optional || dice.below(if is_few { 10 } else { 2 }) == 0
            })
            .map(|parameter| (parameter, String::new()))
            .collect();
        if given.is_empty() && self.kind != Kind::Function {
            let index = dice.below(self.parameters.len() as u64) as usize;
            given.push((&self.parameters[index], String::new()));
        }
        for (parameter, value) in &mut given {
            *value = values.of(&parameter.r#type, &parameter.name, dice);
        }
        let list = |f: &dyn Fn(&Parameter, &str) -> String| {
            let texts: Vec<String> = given
                .iter()
                .map(|(parameter, value)| f(parameter, value))
                .collect();
            texts.join(", ")
        };
        let name = &self.name;
        match self.kind {
            Kind::Function => {
                let arguments = list(&|parameter, value| {
                    let variadic = if parameter.is_variadic {
                        "variadic "
                    } else {
                        ""
                    };
                    format!("{variadic}\"{}\" => {value}", parameter.name)
                });
                format!("select * from herald.{name}({arguments})")
            }
            Kind::Update => {
                let set = list(&|parameter, value| format!("\"{}\" = {value}", parameter.name));
                format!("update herald.{name} set {set} where name in ('shop', 'acme', 'own')")
            }
            Kind::Insert => {
                let names = list(&|parameter, _| format!("\"{}\"", parameter.name));
                let all = list(&|_, value| value.to_owned());
                format!("insert into herald.{name} ({names}) values ({all})")
            }
        }
    }

    /// Returns what is wrong with an error.
    fn complaint(&self, error: &DbError) -> Option<String> {
        let code = error.code().code();
        let complaint = |what: &str| {
            let name = &self.name;
            Some(format!(
                "{name}: {what} {code}: {}",
                cut(error.message(), 200)
            ))
        };
        if code == "57014" && WAITING.contains(&self.name.as_str()) {
            return None;
        }
        // Compilation errors are in PostgreSQL's words, as everywhere.
        if self.name == "watch" && error.message().contains("does not compile") {
            return None;
        }
        if !RIGHT.contains(&code) {
            return complaint("not one of the right states,");
        }
        // The index reports an existing key: INSERT has ON CONFLICT for it.
        if error.hint().is_none_or(str::is_empty) && code != "23505" {
            return complaint("without a hint,");
        }
        None
    }
}

fn cut(text: &str, most: usize) -> &str {
    let end = text
        .char_indices()
        .nth(most)
        .map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// Returns how a statement is refused, and undoes it.
fn fault(db: &mut Database, sql: &str) -> Option<DbError> {
    let mut transaction = db.transaction().expect("a transaction");
    let error = transaction.batch_execute(sql).err();
    transaction.rollback().expect("a session that goes on");
    error.map(|error| {
        error
            .as_db_error()
            .unwrap_or_else(|| panic!("{error}: {sql}"))
            .clone()
    })
}
