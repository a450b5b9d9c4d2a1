//! An operator with all rights who goes to lunch: locks that are held, and changes that reload everything.

use super::arena::SICK;
use super::attack::Attack;
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
        statements: |_, dice| idle("select herald.redeliver_dead_letters()", dice),
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
            let template = [
                "'{{ ' || repeat('-', 20848) || '1 }}'",
                "'{{ ' || repeat('-', 65000) || '1 }}'",
                "'{{ 1' || repeat('~1', 32000) || ' }}'",
                "'{{ ' || repeat('(', 20000) || '1' || repeat(')', 20000) || ' }}'",
                "repeat('{% if 1 %}', 6000)",
                "'{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}'",
            ];
            let template = template[dice.below(template.len() as u64) as usize];
            vec![format!(
                "select herald.subscribe('endless', url => '{url}', types => '{{never}}', format => 'template', template => {template})"
            )]
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
                "((data ->> 'order'))",
                "(type) where tenant is not null",
                "using gin (data)",
            ];
            let index = index[dice.below(index.len() as u64) as usize];
            let method = if index.starts_with("using") {
                index.to_owned()
            } else {
                format!("using btree {index}")
            };
            vec![
                format!("create index hostile_index on herald.event {method}"),
                "select pg_sleep(0.5)".to_owned(),
                "drop index herald.hostile_index".to_owned(),
            ]
        },
    },
    Attack {
        name: "adds a trigger to the log",
        statements: |_, _| {
            [
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
                "vacuum herald._attempt",
            ]
            .map(str::to_owned)
            .to_vec()
        },
    },
];

/// A transaction that does this, and then nothing for a while.
fn idle(statement: &str, dice: &mut Dice) -> Vec<String> {
    vec![
        "begin".to_owned(),
        statement.to_owned(),
        format!("select pg_sleep({}.5)", dice.below(4)),
        "rollback".to_owned(),
    ]
}
