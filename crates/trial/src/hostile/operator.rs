//! An operator with all rights who goes to lunch: locks stay held, and changes reload everything.

use super::arena::SICK;
use super::attack::Attack;
use super::statement::{fails, succeeds};
use super::values::{self, one_of};
use crate::workload::Dice;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "locks rows of pending",
        statements: |_, dice| idle("select 1 from herald.pending limit 100 for update", dice),
    },
    Attack {
        name: "locks all rows of pending",
        statements: |_, dice| idle("select 1 from herald.pending for update", dice),
    },
    Attack {
        name: "locks pending against writers",
        statements: |_, dice| idle("lock table herald.pending in share mode", dice),
    },
    Attack {
        name: "locks the log as VACUUM does",
        statements: |_, dice| {
            idle(
                "lock table herald.event in share update exclusive mode",
                dice,
            )
        },
    },
    Attack {
        name: "redelivers and waits",
        statements: |_, dice| {
            let number = dice.below(SICK as u64);
            idle(
                &format!("select herald.redeliver_dead_letters('sick.{number}')"),
                dice,
            )
        },
    },
    Attack {
        name: "prepares a transaction with locks",
        statements: |_, dice| {
            let name = format!("operator_{}", dice.below(u64::MAX));
            vec![
                "begin".to_owned(),
                "select 1 from herald.pending limit 10 for update".to_owned(),
                format!("prepare transaction '{name}'"),
                "select pg_sleep(2)".to_owned(),
                format!("rollback prepared '{name}'"),
            ]
        },
    },
    Attack {
        name: "changes a subscription again and again",
        statements: |_, dice| {
            let change = |_| {
                format!(
                    "update herald.subscription set description = '{}' where name = 'sick.{}'",
                    dice.below(1_000),
                    dice.below(SICK as u64)
                )
            };
            (0..10).map(change).collect()
        },
    },
    Attack {
        name: "resumes what was disabled",
        statements: |_, _| {
            (0..SICK)
                .map(|number| format!("select herald.resume('sick.{number}')"))
                .collect()
        },
    },
    Attack {
        name: "pauses with a backlog",
        statements: |_, dice| {
            let number = dice.below(SICK as u64);
            vec![
                format!("select herald.pause('sick.{number}')"),
                "select herald.emit('burst', '{}') from generate_series(1, 1000)".to_owned(),
                format!("select herald.resume('sick.{number}')"),
            ]
        },
    },
    Attack {
        name: "discards a backlog",
        statements: |_, dice| {
            let number = dice.below(SICK as u64);
            vec![format!(
                "select herald.discard('sick.{number}', until => now(), reason => 'nobody wants it')"
            )]
        },
    },
    Attack {
        name: "replays",
        statements: |_, dice| {
            let number = dice.below(SICK as u64);
            vec![format!(
                "select herald.replay('sick.{number}', since => now() - interval '1 s')"
            )]
        },
    },
    Attack {
        name: "subscribes and unsubscribes",
        statements: |scene, _| {
            let url = &scene.sick;
            vec![
                format!("select herald.subscribe('passing', url => '{url}')"),
                "select herald.emit('passing', '{}')".to_owned(),
                "select herald.unsubscribe('passing')".to_owned(),
            ]
        },
    },
    Attack {
        name: "subscribes with templates without end",
        statements: |scene, dice| {
            let url = &scene.sick;
            let template = values::template(dice);
            vec![fails(&format!(
                "select herald.subscribe('endless', url => '{url}', types => '{{never}}', format => 'template', template => {template})"
            ))]
        },
    },
    Attack {
        name: "previews deep data",
        statements: |_, _| {
            let preview = "select p.body from (select e.uid from herald.event e where e.type = 'public.board.inserted'
                                               order by e.seq desc limit 20) e,
                           lateral herald.preview('template', e.uid::text) p";
            vec![preview.to_owned()]
        },
    },
    Attack {
        name: "adds an index to the log",
        statements: |_, dice| {
            let index = [
                "herald.event using btree ((data ->> 'order'))",
                "herald.event using btree (type) where tenant is not null",
                "herald.event using gin ((data::jsonb))",
                "herald_internal.attempt using btree (outcome) where attempt > 1",
            ];
            let index = one_of(&index, dice);
            vec![
                patience(),
                format!("create index hostile_index on {index}"),
                "select pg_sleep(0.5)".to_owned(),
                "drop index herald.hostile_index".to_owned(),
            ]
        },
    },
    Attack {
        name: "adds a trigger to the log",
        statements: |_, _| {
            [
                &patience(),
                "create or replace function pg_temp.nothing() returns trigger language plpgsql
                 as $$ begin return new; end $$",
                "create trigger hostile before insert on herald.event for each row execute function pg_temp.nothing()",
                "select pg_sleep(0.5)",
                "drop trigger hostile on herald.event",
            ]
            .map(str::to_owned)
            .to_vec()
        },
    },
    Attack {
        name: "adds a constraint to a slot of the log",
        statements: |_, dice| {
            let slot = dice.below(32);
            vec![
                patience(),
                format!(
                    "alter table herald_internal.event_{slot} add constraint hostile check (length(type) > 0) not valid"
                ),
                "select pg_sleep(0.5)".to_owned(),
                format!("alter table herald_internal.event_{slot} drop constraint hostile"),
            ]
        },
    },
    Attack {
        name: "publishes all tables",
        statements: |_, _| {
            [
                "create publication hostile for all tables",
                "select pg_sleep(0.5)",
                "drop publication hostile",
            ]
            .map(str::to_owned)
            .to_vec()
        },
    },
    Attack {
        name: "copies another database",
        statements: |_, dice| {
            // Others than those that could not be dropped in time.
            let name = format!("hostile_copy_{}", dice.below(1_000_000));
            vec![
                succeeds(&format!("create database {name} template template1")),
                succeeds(&format!("drop database {name}")),
            ]
        },
    },
    Attack {
        name: "asks everything",
        statements: |_, _| {
            [
                "select * from herald.doctor()",
                "select * from herald.status()",
                "select * from herald.subscription_stats",
                "select * from herald.delivery order by created_at desc limit 10",
            ]
            .map(str::to_owned)
            .to_vec()
        },
    },
    Attack {
        name: "maintains",
        statements: |_, _| {
            [
                "vacuum analyze herald.pending",
                "reindex table herald.pending",
                "vacuum herald_internal.attempt",
            ]
            .map(str::to_owned)
            .to_vec()
        },
    },
];

/// Follows docs/operations.md for changes of the log's tables: while such a change waits for its lock, PostgreSQL
/// queues all later sessions behind it, and nothing is read.
fn patience() -> String {
    "set lock_timeout = '100ms'".to_owned()
}

/// Returns a transaction that runs the statement and then idles for a while.
fn idle(statement: &str, dice: &mut Dice) -> Vec<String> {
    vec![
        "begin".to_owned(),
        statement.to_owned(),
        format!("select pg_sleep({}.5)", dice.below(4)),
        "rollback".to_owned(),
    ]
}
