//! A tenant: a role with its own subscriptions and events that wants to see and move those of another.

use super::attack::Attack;
use super::evidence::SEEN;
use super::statement::fails;
use super::values::{self, one_of};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "subscribes to a sick receiver",
        statements: |scene, dice| {
            let (own, name, url) = (scene.own, dice.below(5), &scene.sick);
            vec![format!(
                "select herald.subscribe('{own}s{name}', url => '{url}', timeout => '3 s', retry_schedule => '{{1 s,1 s}}')"
            )]
        },
    },
    Attack {
        name: "subscribes to names that lead nowhere",
        statements: |scene, dice| {
            let (own, name, host) = (scene.own, dice.below(5), dice.below(1_000_000));
            vec![format!(
                "select herald.subscribe('{own}s{name}', url => 'https://h{host}.hostile.invalid/')"
            )]
        },
    },
    Attack {
        name: "has receivers that must consent",
        statements: |scene, dice| {
            let (own, name, url) = (scene.own, dice.below(5), &scene.sick);
            vec![format!(
                "select herald.subscribe('{own}c{name}', url => '{url}', handshake => '{{}}')"
            )]
        },
    },
    Attack {
        name: "unsubscribes with a backlog",
        statements: |scene, dice| {
            let (own, name) = (scene.own, dice.below(5));
            vec![
                "select herald.emit('burst', '{}') from generate_series(1, 500)".to_owned(),
                format!("select herald.unsubscribe('{own}s{name}')"),
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
            let length = one_of(&[2_000, 70_000, 20_000_000], dice);
            let emit = |length: u64| {
                format!(
                    "select length(herald.emit('long', '{{}}', {attribute} => repeat('x', {length})))"
                )
            };
            vec![emit(100), emit(length)]
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
        name: "pauses and resumes",
        statements: |scene, dice| {
            let (own, name) = (scene.own, dice.below(5));
            vec![
                format!("select herald.pause('{own}s{name}')"),
                format!("select herald.resume('{own}s{name}')"),
            ]
        },
    },
    Attack {
        name: "pauses and stays in the transaction",
        statements: |scene, dice| {
            let (own, name) = (scene.own, dice.below(5));
            vec![
                "begin".to_owned(),
                format!("select herald.pause('{own}s{name}')"),
                "select pg_sleep(1.5)".to_owned(),
                "rollback".to_owned(),
            ]
        },
    },
    Attack {
        name: "redelivers and stays in the transaction",
        statements: |scene, dice| {
            let (own, name) = (scene.own, dice.below(5));
            vec![
                "begin".to_owned(),
                format!("select herald.redeliver_dead_letters('{own}s{name}')"),
                "select pg_sleep(1.5)".to_owned(),
                ["commit", "rollback"][dice.below(2) as usize].to_owned(),
            ]
        },
    },
    Attack {
        name: "discards with a long reason",
        statements: |scene, dice| {
            let (own, name) = (scene.own, dice.below(5));
            let discard = |length: u64| {
                format!(
                    "select herald.discard('{own}s{name}', until => now(), reason => repeat('r', {length}))"
                )
            };
            vec![
                discard(150 + dice.below(50)),
                fails(&discard(1 + one_of(&[200, 1_000_000], dice))),
            ]
        },
    },
    Attack {
        name: "emits long ids and asks for them",
        statements: |_, dice| {
            let length = one_of(&[1_000, 60_000, 300_000], dice);
            vec![
                format!(
                    "select length(herald.emit('long', '{{}}', id => repeat('i', {length}) || '{}'))",
                    dice.below(1_000)
                ),
                "select * from herald.why('iiiiiiii')".to_owned(),
                format!("select * from herald.why(repeat('i', {length}))"),
            ]
        },
    },
    Attack {
        name: "asks long questions",
        statements: |_, dice| {
            let length = one_of(&[1_000, 200_000, 20_000_000], dice);
            vec![
                fails(&format!("select * from herald.why(repeat('x', {length}))")),
                "select * from herald.status()".to_owned(),
                "select count(*) from herald.delivery".to_owned(),
                "set statement_timeout = '300ms'".to_owned(),
                fails("select * from herald.why(repeat('x', 200000000))"),
            ]
        },
    },
    Attack {
        name: "stores what cannot be read",
        statements: |scene, dice| {
            let (own, url, option) = (scene.own, &scene.sick, values::unreadable(dice));
            vec![fails(&format!(
                "select herald.subscribe('{own}unreadable', url => '{url}', {option})"
            ))]
        },
    },
    Attack {
        name: "stores options without end",
        statements: |scene, dice| {
            let (own, url, option) = (scene.own, &scene.sick, values::endless(dice));
            vec![fails(&format!(
                "select herald.subscribe('{own}long', url => '{url}', {option})"
            ))]
        },
    },
    Attack {
        name: "stores templates",
        statements: |scene, dice| {
            let (own, url, template) = (scene.own, &scene.sick, values::template(dice));
            let subscribe = |name: &str| {
                format!(
                    "select herald.subscribe('{own}{name}', url => '{url}', format => 'template', template => {template})"
                )
            };
            vec![
                fails(&subscribe("template")),
                fails(&subscribe("s0")),
                fails("update herald.subscription set template = '{{ 1 }}'"),
            ]
        },
    },
    Attack {
        name: "filters by what takes long",
        statements: |scene, dice| {
            let (own, name, url) = (scene.own, dice.below(3), &scene.sick);
            let (filter, data) = values::slow_filter(dice);
            vec![
                format!(
                    "select herald.subscribe('{own}f{name}', url => '{url}', filter => {filter})"
                ),
                format!("select herald.emit('slow', {data}) from generate_series(1, 20)"),
                fails(&format!(
                    "select herald.subscribe('{own}endless', url => '{url}', filter => {})",
                    values::endless_filter(dice)
                )),
            ]
        },
    },
    Attack {
        name: "changes its filter all the time",
        statements: |scene, dice| {
            let (own, name, url) = (scene.own, dice.below(5), &scene.sick);
            let change = |number: u64| {
                format!(
                    "select herald.subscribe('{own}s{name}', url => '{url}', filter => '{{\"data\": {{\"a\": {number}}}}}')"
                )
            };
            (0..30).map(change).collect()
        },
    },
    Attack {
        name: "takes locks by the names of keys",
        statements: |scene, _| {
            let own = scene.own;
            vec![
                format!(
                    "select pg_advisory_lock(hashtextextended(words, seed)), pg_sleep(0.1)
                     from unnest(array['/hostile k', 'event /hostile k', 'subscription {own}s1', 'subscription healthy', 'access']) words,
                          unnest(array[0, 7349]) seed"
                ),
                "select pg_advisory_unlock_all()".to_owned(),
            ]
        },
    },
    Attack {
        name: "previews and looks around",
        statements: |scene, dice| {
            let (own, name) = (scene.own, dice.below(5));
            vec![
                "select s::text from herald.subscription s".to_owned(),
                "select s::text from herald.status() s".to_owned(),
                "select s::text from herald.attempt s order by 1 desc limit 20".to_owned(),
                "select s::text from herald.dead_letter s order by 1 desc limit 20".to_owned(),
                format!("select p::text from herald.preview('{own}s{name}', 'late') p"),
                "select * from herald.why('canary')".to_owned(),
            ]
        },
    },
    Attack {
        name: "reaches for what is not its own",
        statements: |scene, _| {
            let others = scene.others;
            [
                "select herald.pause('healthy')",
                "select herald.unsubscribe('witness')",
                "select herald.ping('trusted')",
                "select herald.rotate_secret('trusted')",
                "select herald.redeliver('healthy', 'kept')",
                "select herald.replay('witness', since => now() - interval '1 hour')",
                "select * from herald.preview('witness', 'kept')",
                "update herald.subscription set state = 'paused'",
                "select herald.stop_worker()",
                "select herald.doctor()",
                "select * from herald.tenant",
                "select * from herald.event",
                "select * from herald.audit",
                "select herald_internal._status()",
                "select herald.grant_access('ann', 'admin')",
            ]
            .map(fails)
            .into_iter()
            .chain([
                // A tenant's names begin with its own prefix, even if another's follows.
                fails(&format!("select herald.pause('{others}canary')")),
                format!("select herald.subscribe('{others}s1', url => '{}')", scene.sick),
                format!("select herald.unsubscribe('{others}s1')"),
                format!("do $$ begin perform herald.unsubscribe('{others}' || name) from unnest(array['canary-of-ann', 'canary-of-bob']) name;
                         exception when others then null; end $$"),
            ])
            .collect()
        },
    },
];

/// In parallel sessions: while all of them hang, others are served.
pub(super) const PINGS: &[Attack] = &[Attack {
    name: "pings receivers that hang",
    statements: |scene, dice| {
        let (own, name) = (scene.own, dice.below(5));
        vec![format!(
            "select herald.ping('{own}s{name}', timeout => '2 s')"
        )]
    },
}];

/// For a tenant that has nothing: everything it can count, or that is passed to its functions, is another's.
pub(super) const WITH_NOTHING: &[Attack] = &[
    Attack {
        name: "counts what it cannot see",
        statements: |_, dice| {
            let view = one_of(VIEWS, dice);
            vec![
                format!(
                    "explain (analyze, costs off) select * from herald.{view} v where v::text > 'a'"
                ),
                format!(
                    "explain (analyze, costs off) select * from herald.{view} v where v::text like 'ann%' limit 1"
                ),
                format!("select '{SEEN}: ' || count(*) from herald.{view} having count(*) > 0"),
            ]
        },
    },
    Attack {
        name: "has a function look at rows first",
        statements: |_, dice| {
            let view = one_of(VIEWS, dice);
            vec![
                format!(
                    "create or replace function pg_temp.look(text) returns boolean language plpgsql cost 0.0000001
                     as $$ begin raise exception '{SEEN}: %', $1; end $$"
                ),
                format!("select * from herald.{view} v where pg_temp.look(v::text)"),
                // To compile a plan can take 20 s, in which PostgreSQL cannot cancel it; any query can be made so dear.
                "set enable_seqscan = off; set jit = off".to_owned(),
                format!("select * from herald.{view} v where pg_temp.look(v::text) order by 1 desc limit 1"),
            ]
        },
    },
];

const VIEWS: &[&str] = &[
    "subscription",
    "subscription_stats",
    "delivery",
    "attempt",
    "dead_letter",
];
