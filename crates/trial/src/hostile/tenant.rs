//! A tenant: a role with subscriptions and events of its own.

use super::attack::Attack;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "subscribes to a sick receiver",
        statements: |scene, dice| {
            let (name, url) = (dice.below(5), &scene.sick);
            vec![format!(
                "select herald.subscribe('s{name}', url => '{url}', timeout => '3 s', retry_schedule => '{{1 s,1 s}}')"
            )]
        },
    },
    Attack {
        name: "subscribes to names that lead nowhere",
        statements: |_, dice| {
            let (name, host) = (dice.below(5), dice.below(1_000_000));
            vec![format!(
                "select herald.subscribe('s{name}', url => 'https://h{host}.hostile.invalid/')"
            )]
        },
    },
    Attack {
        name: "has receivers that must consent",
        statements: |scene, dice| {
            let (name, url) = (dice.below(5), &scene.sick);
            vec![format!(
                "select herald.subscribe('c{name}', url => '{url}', handshake => '{{}}')"
            )]
        },
    },
    Attack {
        name: "unsubscribes with a backlog",
        statements: |_, dice| {
            let name = dice.below(5);
            vec![
                "select herald.emit('burst', '{}') from generate_series(1, 500)".to_owned(),
                format!("select herald.unsubscribe('s{name}')"),
            ]
        },
    },
    Attack {
        name: "emits deep data",
        statements: |_, dice| {
            let depth = [128, 129, 1_300, 6_000][dice.below(4) as usize];
            vec![format!(
                "select herald.emit('deep', (repeat('[', {depth}) || repeat(']', {depth}))::jsonb)"
            )]
        },
    },
    Attack {
        name: "emits long attributes",
        statements: |_, dice| {
            let attribute =
                ["subject", "key", "id", "source", "dataschema"][dice.below(5) as usize];
            let length = [100, 2_000, 70_000, 20_000_000][dice.below(4) as usize];
            vec![format!(
                "select length(herald.emit('long', '{{}}', {attribute} => repeat('x', {length})))"
            )]
        },
    },
    Attack {
        name: "emits the same id with another content",
        statements: |_, dice| {
            vec![format!(
                "select herald.emit('same', '{{\"n\": {}}}', id => 'the same')",
                dice.below(2)
            )]
        },
    },
    Attack {
        name: "emits and stays in the transaction",
        statements: |_, dice| {
            vec![
                "begin".to_owned(),
                "select herald.emit('late', '{}', key => 'k', ordered => true)".to_owned(),
                format!("select pg_sleep({})", dice.below(4)),
                ["commit", "rollback"][dice.below(2) as usize].to_owned(),
            ]
        },
    },
    Attack {
        name: "pings receivers that hang",
        statements: |_, dice| {
            vec![format!(
                "select herald.ping('s{}', timeout => '2 s')",
                dice.below(5)
            )]
        },
    },
    Attack {
        name: "pauses and resumes",
        statements: |_, dice| {
            let name = dice.below(5);
            vec![
                format!("select herald.pause('s{name}')"),
                format!("select herald.resume('s{name}')"),
            ]
        },
    },
    Attack {
        name: "pauses and stays in the transaction",
        statements: |_, dice| {
            let name = dice.below(5);
            vec![
                "begin".to_owned(),
                format!("select herald.pause('s{name}')"),
                "select pg_sleep(1.5)".to_owned(),
                "rollback".to_owned(),
            ]
        },
    },
    Attack {
        name: "redelivers and stays in the transaction",
        statements: |_, dice| {
            let name = dice.below(5);
            vec![
                "begin".to_owned(),
                format!("select herald.redeliver_dead_letters('s{name}')"),
                "select pg_sleep(1.5)".to_owned(),
                ["commit", "rollback"][dice.below(2) as usize].to_owned(),
            ]
        },
    },
    Attack {
        name: "discards with a long reason",
        statements: |_, dice| {
            vec![format!(
                "select herald.discard('s{}', until => now(), reason => repeat('r', {}))",
                dice.below(5),
                150 + dice.below(100)
            )]
        },
    },
    Attack {
        name: "asks long questions",
        statements: |_, dice| {
            let length = dice.below(200_000);
            vec![
                format!("select * from herald.why(repeat('x', {length}))"),
                "select * from herald.doctor()".to_owned(),
                "select * from herald.status()".to_owned(),
                "select count(*) from herald.delivery".to_owned(),
            ]
        },
    },
    Attack {
        name: "reaches for what is not its own",
        statements: |_, _| {
            [
                "select herald.pause('healthy')",
                "select herald.unsubscribe('witness')",
                "update herald.subscription set state = 'paused'",
                "select herald.stop_worker()",
                "select herald.subscribe('t', url => 'http://127.0.0.1:1/', template => '{{ 1 }}', format => 'template')",
                "select herald.emit('x', '{}', tenant => 'another')",
            ]
            .map(str::to_owned)
            .to_vec()
        },
    },
];
