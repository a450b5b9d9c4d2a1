//! A role that only has INSERT on a watched table.

use super::attack::{Attack, Scene};
use super::statement::fails;
use crate::workload::Dice;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "a row",
        statements: |_, _| insert("words", "'hello'"),
    },
    Attack {
        name: "deep jsonb",
        statements: |_, dice| insert("data", &format!("({})::jsonb", deep(dice))),
    },
    Attack {
        name: "deep json",
        statements: |_, dice| insert("document", &format!("({})::json", deep(dice))),
    },
    Attack {
        name: "deep json around a long text",
        statements: |_, _| {
            let document = "(repeat('[', 5000) || '\"' || repeat('x', 300000) || '\"' || repeat(']', 5000))::json";
            insert("document", document)
        },
    },
    Attack {
        name: "a long text",
        statements: |_, dice| insert("words", &format!("repeat('x', {})", dice.below(3_000_000))),
    },
    Attack {
        name: "many rows",
        statements: |_, dice| {
            let rows = dice.below(3_000);
            vec![format!(
                "insert into board (words) select repeat('y', 100) from generate_series(1, {rows})"
            )]
        },
    },
    Attack {
        name: "odd json",
        statements: |_, dice| {
            let odd = [
                r#"'{"a": "\ud800"}'"#,
                r#"'{"a": 1e400000}'"#,
                r#"'{"a": "\u0000"}'"#,
                r#"'{"a": 1, "a": 2, "": {"": null}}'"#,
                "'\"' || repeat('\\u0001', 20000) || '\"'",
                "'[' || repeat('9', 100000) || ']'",
            ];
            let odd = odd[dice.below(odd.len() as u64) as usize];
            insert("document", &format!("({odd})::json"))
        },
    },
    Attack {
        name: "a long actor, and many rows",
        statements: |_: &Scene, dice: &mut Dice| {
            let length = [300, 10_000, 5_000_000, 50_000_000][dice.below(4) as usize];
            let rows = "insert into board (words) select n::text from generate_series(1, 120) n";
            vec![
                format!("select length(set_config('herald.actor', repeat('a', {length}), false))"),
                format!(
                    "select length(set_config('herald.tracestate', repeat('t', {length}), false))"
                ),
                rows.to_owned(),
            ]
        },
    },
    Attack {
        name: "many long subjects and keys",
        statements: |_, dice| {
            let (length, rows) = (dice.below(5_000_000), dice.below(30));
            vec![format!(
                "insert into board (words) select repeat('s', {length}) from generate_series(1, {rows})"
            )]
        },
    },
    Attack {
        name: "savepoints and a rollback",
        statements: |_, dice| {
            let mut statements = vec!["begin".to_owned()];
            for number in 0..dice.below(100) {
                statements.push(format!("savepoint s{number}"));
                statements.extend(insert("words", "'in a savepoint'"));
                if number % 2 == 0 {
                    statements.push(format!("rollback to s{number}"));
                }
            }
            statements.push(["commit", "rollback"][dice.below(2) as usize].to_owned());
            statements
        },
    },
    Attack {
        name: "an idle transaction",
        statements: |_, dice| {
            let mut statements = vec!["begin".to_owned()];
            statements.extend(insert("words", "'late'"));
            statements.push(format!("select pg_sleep({}.5)", dice.below(3)));
            statements.push("commit".to_owned());
            statements
        },
    },
    Attack {
        name: "a prepared transaction",
        statements: |_, dice| {
            let name = format!("writer_{}", dice.below(u64::MAX));
            let mut statements = vec!["begin".to_owned()];
            statements.extend(insert("words", "'prepared'"));
            statements.push(format!("prepare transaction '{name}'"));
            statements.push("select pg_sleep(1)".to_owned());
            statements.push(format!("commit prepared '{name}'"));
            statements
        },
    },
    Attack {
        name: "locks that anybody can take",
        statements: |_, _| {
            let lock = "select pg_advisory_lock(hashtextextended('/hostile board', 7349)), pg_advisory_lock(7349), \
                        pg_sleep(1)";
            vec![
                lock.to_owned(),
                "select pg_advisory_unlock_all()".to_owned(),
            ]
        },
    },
    Attack {
        name: "a row with all names quoted",
        statements: |_, _| {
            let mut statements = vec!["set quote_all_identifiers = on".to_owned()];
            statements.extend(insert("words", "'quoted'"));
            statements
        },
    },
    Attack {
        name: "what is not allowed",
        statements: |_, _| {
            [
                "select herald.emit('x', '{}')",
                "delete from herald.event",
                "lock table herald.event",
                "select * from herald.secret",
                "select herald_internal.want_worker(false)",
                "select herald.stop_worker()",
                "select herald.verify('standard', 's', '{}', '')",
                "truncate board",
                "set herald.capture = off",
                "create table herald.mine (id int)",
                "create schema herald_watch_mine",
            ]
            .map(fails)
            .to_vec()
        },
    },
];

fn insert(column: &str, value: &str) -> Vec<String> {
    vec![format!("insert into board ({column}) values ({value})")]
}

/// Nests around the depths at which something may stop walking, and far beyond.
fn deep(dice: &mut Dice) -> String {
    let depth = [127, 128, 129, 1_300, 6_000, 14_000][dice.below(6) as usize];
    match dice.below(2) {
        0 => format!("repeat('[', {depth}) || repeat(']', {depth})"),
        _ => format!("repeat('{{\"a\":', {depth}) || '1' || repeat('}}', {depth})"),
    }
}
