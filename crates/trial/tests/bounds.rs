//! Bounds on length, number and depth: what is refused at the door, and what an unreadable stored row costs.

mod common;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{Database, SOON, receiver, rows, types};
use herald_trial::Cluster;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Options that must be refused, and their errors.
const REFUSED: &str = r"
    types | array['a', null] | a member of types is null
    types | '{{a},{b}}' | types has more than one dimension
    types | array_fill('a'::text, array[1001]) | invalid types
    types | array[repeat('x', 1025)] | invalid types
    types | array_fill('a'::text, array[300000]) | the options of the subscription are too long
    success | '{200,null}' | a member of success is null
    success | array(select generate_series(100, 500)) | success is out of range
    retry_on | '{{500},{503}}' | retry_on has more than one dimension
    retry_schedule | '{null}' | a member of retry_schedule is null
    retry_schedule | '{{5 s},{5 s}}' | retry_schedule has more than one dimension
    retry_schedule | '{178000000 years}' | invalid retry_schedule
    retry_jitter | 'NaN' | retry_jitter is out of range
    retry_jitter | 'infinity' | retry_jitter is out of range
    timeout | '178000000 years' | timeout is out of range
    timeout_delay | '-178000000 years' | timeout_delay is out of range
    max_age | '178000000 years' | max_age is out of range
    retry_duration | '178000000 years' | retry_duration is out of range
    dead_letter_retention | '178000000 years' | dead_letter_retention is out of range
    signing | jsonb_build_object('header', 'x-a', 'prefix', repeat('x', 257)) | invalid signing
    auth | jsonb_build_object('type', 'bearer', 'token', repeat('x', 8193)) | invalid auth
    tls | jsonb_build_object('ca', repeat('x', 262145)) | invalid tls
    user_agent | repeat('x', 2000000) | the options of the subscription are too long
";

#[test]
fn an_option_beyond_its_bounds_is_refused_by_subscribe_update_and_apply() {
    let mut db = Database::new(&CLUSTER, "refused");
    db.subscribe_at("shop", "https://example.com/", "");
    let kept = "select md5(string_agg(s::text, '')) from herald_internal.subscription s";
    let before = db.text(kept);
    for [option, value, expected] in rows(REFUSED) {
        let url = "url => 'https://example.com/'";
        let declared = format!(
            "jsonb_build_object('subscriptions', jsonb_build_array(jsonb_build_object('name', 'new', 'url', 'https://example.com/',
             '{option}', (select o.{option} from (select {value}::{}) as o ({option})))))",
            match option {
                "types" => "text[]",
                "success" | "retry_on" => "int[]",
                "retry_schedule" => "interval[]",
                "retry_jitter" => "real",
                "signing" | "auth" | "tls" => "jsonb",
                "user_agent" => "text",
                _ => "interval",
            }
        );
        for statement in [
            format!("select herald.subscribe('new', {url}, {option} => {value})"),
            format!("select herald.subscribe('shop', {option} => {value})"),
            format!("update herald.subscription set {option} = {value} where name = 'shop'"),
            format!("select herald.apply({declared})"),
        ] {
            // Some intervals have no text that reads back.
            let error = db.refusal(&statement);
            // A document's errors name the subscription, and have their own words for what is not a list in JSON.
            let in_document = error.message().strip_prefix("subscription \"new\": ");
            let message = in_document.unwrap_or(error.message());
            assert!(
                message.starts_with(expected)
                    || in_document.is_some_and(|message| message.contains(option)),
                "{statement}: {error}"
            );
            assert!(error.hint().is_some(), "{statement}");
        }
    }
    assert_eq!(db.text(kept), before);
    let error =
        db.refusal("select herald.subscribe(repeat('x', 1000000), url => 'https://example.com/')");
    assert_eq!(error.message(), "the name of the subscription is too long");
}

/// Ways to break a stored row, and how to mend it: options, or a column.
const BROKEN: &str = r#"
    nulls | {"retry_schedule": [null]} | {"retry_schedule": ["00:00:05"]}
    ages | {"max_age": "178000000 years"} | {"max_age": null}
    endless | {"max_age": "infinity", "timeout_delay": "2147483648 days"} | {"max_age": null, "timeout_delay": null}
    real | {"retry_jitter": 1e39} | {"retry_jitter": 0.1}
    statuses | {"success": [200, null]} | {"success": null}
    auth | {"auth": [1]} | {"auth": null}
    jitter | {"retry_jitter": "NaN"} | {"retry_jitter": 0.1}
    unknown | {"colour": "red"} | -
    deep | DEEP | {"signing": "standard"}
    template | {"format": "template", "template": "{{ DASHES1 }}"} | {"format": "structured", "template": null}
    document | [] | -
    negative | max_backlog = -5 | max_backlog = null
    types | types = array[null, 'order.*'] | types = '{order.*}'
    globs | types = '{}' | types = '{order.*}'
    url | url = 'nowhere' | url = '$url'
"#;

/// Returns the assignment that breaks or mends a row.
fn assignment(change: &str) -> String {
    let change = change
        .replace(
            "DEEP",
            &format!(r#"{{"signing": {}{}}}"#, "[".repeat(200), "]".repeat(200)),
        )
        .replace("DASHES", &"-".repeat(20_848));
    match change.as_bytes().first() {
        None => r#"options = '{"method": "POST"}'"#.to_owned(),
        Some(b'[') => format!("options = '{change}'"),
        Some(b'{') => format!("options = options || '{change}'"),
        _ => change,
    }
}

#[test]
fn an_unreadable_subscription_is_held_alone_and_catches_up_once_mended() {
    let (healthy, broken) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "broken");
    db.subscribe("healthy", &healthy, "");
    for [name, broken_by, _] in rows(BROKEN) {
        db.subscribe_at(
            name,
            &broken.url(&format!("/{name}")),
            "types => '{order.*}'",
        );
        db.run(&format!(
            "update herald_internal.subscription set {} where name = '{name}'",
            assignment(broken_by)
        ));
    }
    db.run("select herald_internal.changed('subscription')");
    db.emit("order.paid");
    db.emit("invoice.paid");
    healthy.wait_for(2, SOON);
    db.until(
        "select count(*) from herald.pending where event_seq = (select seq from herald.event where type = 'order.paid')",
        &rows::<3>(BROKEN).count().to_string(),
    );
    assert_eq!(broken.total(), 0);
    let uid = db.text("select uid from herald.event where type = 'order.paid'");
    for [name, _, _] in rows(BROKEN) {
        let said = db.text(&format!(
            "select detail from herald.doctor() where detail like 'cannot send to subscription \"{name}\"%'"
        ));
        assert!(!said.is_empty(), "{name}");
        let blocked = db.text(&format!(
            "select blocked_by from herald.why('{uid}') where subscription = '{name}'"
        ));
        assert!(blocked.starts_with("cannot send: "), "{name}: {blocked}");
        let error = db.refusal(&format!("select herald.preview('{name}', '{uid}')"));
        assert!(
            error.message().starts_with("cannot send to subscription"),
            "{error}"
        );
    }
    db.run(&format!("select herald.preview('healthy', '{uid}')"));
    db.run("select * from herald.status(); select * from herald.subscription; select herald_internal.shed_backlog(s.id, 0, -1, 1000) from herald_internal.subscription s");
    // Options that are not a document are mended as in any other subscription.
    db.run("select herald.subscribe('document', timeout => '9 s')");
    assert_eq!(
        db.text("select concat_ws(' ', timeout, method, types) from herald.subscription where name = 'document'"),
        "00:00:09 POST {order.*}"
    );
    for [name, _, mended_by] in rows(BROKEN) {
        let mended_by = mended_by.replace("$url", &broken.url("/url"));
        db.run(&format!(
            "update herald_internal.subscription set {} where name = '{name}'",
            assignment(&mended_by)
        ));
    }
    db.run("select herald_internal.changed('subscription')");
    db.until("select count(*) from herald.pending", "0");
    db.settle();
    // Unreadable types were matched with every event, and deliveries that the mended types do not match were removed.
    assert_eq!(
        db.texts("select type from herald.attempt where outcome = 'delivered' and subscription <> 'healthy'"),
        vec!["order.paid"; rows::<3>(BROKEN).count()]
    );
    assert_eq!(types(&healthy), ["invoice.paid", "order.paid"]);
    assert_eq!(db.count("herald.dead_letter"), 0);
}

#[test]
fn a_row_that_postgresql_cannot_read_is_found_among_the_others() {
    let (healthy, broken) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "damaged");
    for name in ["a", "b", "c", "d"] {
        db.subscribe(name, &healthy, "");
    }
    db.subscribe("damaged", &broken, "types => '{order.*}'");
    db.subscribe("e", &healthy, "");
    // Acts like a damaged page: reading this row's options fails.
    db.run(
        "create function herald.damaged() returns jsonb language plpgsql stable as $$
         begin
             raise exception using errcode = 'data_corrupted', message = 'missing chunk number 0';
         end $$;
         alter table herald_internal.subscription rename to whole_subscription;
         do $$
         begin
             execute format('create view herald_internal.subscription as select %s from herald_internal.whole_subscription', (
                 select string_agg(case attname when 'options' then
                     'case name when ''damaged'' then herald.damaged() else options end as options' else attname end, ', ' order by attnum)
                 from pg_attribute where attrelid = 'herald_internal.whole_subscription'::regclass and attnum > 0 and not attisdropped));
         end $$",
    );
    db.run("select herald_internal.changed('subscription')");
    db.emit("order.paid");
    db.emit("invoice.paid");
    db.until(
        "select count(*) from herald.attempt where outcome = 'delivered'",
        "10",
    );
    db.until("select count(*) from herald.pending", "1");
    let said = db.text("select detail from herald.doctor() where \"check\" = 'subscription'");
    assert!(
        said.ends_with("\"damaged\": it cannot be read: missing chunk number 0"),
        "{said}"
    );
    db.run(
        "drop view herald_internal.subscription; alter table herald_internal.whole_subscription rename to subscription;
         drop function herald.damaged(); select herald_internal.changed('subscription')",
    );
    broken.wait_for(1, SOON);
    db.settle();
    assert_eq!(types(&broken), ["order.paid"]);
}

#[test]
fn no_text_keeps_a_session_busy_beyond_its_timeout() {
    let mut db = Database::new(&CLUSTER, "busy");
    db.run("set statement_timeout = '2 s'");
    db.run("insert into herald_internal.emitted (source, id, slot, seq, uid, content_hash) select '/', repeat('x', 60000) || n, 0, n, gen_random_uuid(), '' from generate_series(1, 200) n");
    let refused = r#"
        select herald.verify(repeat('y', 100000000), 's', '{}', '') | scheme is too long to be verified
        select herald.verify('standard', repeat('y', 100000000), '{}', '') | secret is too long to be verified
        select herald.verify('standard', 's', jsonb_build_object('a', repeat('y', 100000)), '') | headers is too long to be verified
        select herald.verify('github', 's', '{}', convert_to(repeat('y', 67108865), 'UTF8')) | body is too long to be verified
        select herald.verify('github', 's', '{}', '', url => repeat('%3A', 10000)) | url is too long to be verified
        select herald.why(repeat('x', 300000)) | event "xxx
        select herald.pause(repeat('x', 300000)) | subscription "xxx
        select herald.preview('shop', repeat('x', 300000)) | subscription "shop" does not exist
    "#;
    for [statement, expected] in rows(refused) {
        let began_at = Instant::now();
        let error = db.refusal(statement);
        assert!(
            error.message().starts_with(expected),
            "{statement}: {error}"
        );
        assert!(error.message().len() < 200, "{statement}");
        assert!(began_at.elapsed() < Duration::from_secs(2), "{statement}");
    }
}

#[test]
fn the_audit_keeps_what_changed_and_no_more() {
    let mut db = Database::new(&CLUSTER, "audited");
    db.subscribe_at(
        "shop",
        "https://example.com/",
        "types => array_fill('order.paid'::text, array[1000])",
    );
    let last = "from herald.audit where kind = 'subscription' order by id desc limit 1";
    assert!(db.number(&format!("select pg_column_size(after) {last}")) < 5000);
    assert_eq!(
        db.text(&format!("select right(after ->> 'types', 13) {last}")),
        "(14000 bytes)"
    );
    db.run("select herald.pause('shop')");
    assert_eq!(
        db.text(&format!(
            "select string_agg(k, ' ' order by k) from (select after {last}) a, jsonb_object_keys(a.after) k"
        )),
        "state state_changed_at state_reason"
    );
    assert_eq!(
        db.text(&format!("select before ->> 'state' {last}")),
        "active"
    );
}
