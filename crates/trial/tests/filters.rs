//! Filters: which of the events with its types a subscription gets.

mod common;

use std::sync::{LazyLock, mpsc};

use common::{Database, SECRET, SOON, hint, receiver, receiver_with, types};
use herald_trial::{Cluster, Mode, StopMode};
use postgres::NoTls;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Emits an event of this type with this data.
fn emit(db: &mut Database, event_type: &str, data: &str) {
    db.run(&format!("select herald.emit('{event_type}', '{data}')"));
}

#[test]
fn an_event_goes_to_those_whose_filters_it_passes() {
    let (paid, large, all) = (receiver(), receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "passes");
    db.subscribe("paid", &paid, r#"filter => '{"data": {"status": "paid"}}'"#);
    db.subscribe(
        "large",
        &large,
        r#"types => '{order.*}', filter => '[{"data": {"total": ">= 100"}}, {"not": {"exact": {"type": "order.lost"}}}]'"#,
    );
    db.subscribe("all", &all, "");
    emit(&mut db, "order.a", r#"{"status": "paid", "total": 99.99}"#);
    emit(&mut db, "order.b", r#"{"status": "new", "total": 100}"#);
    emit(&mut db, "order.lost", r#"{"status": "paid", "total": 500}"#);
    emit(&mut db, "bill", r#"{"total": 500}"#);
    db.settle();
    assert_eq!(types(&paid), ["order.a", "order.lost"]);
    assert_eq!(types(&large), ["order.b"]);
    assert_eq!(all.total(), 4);
}

#[test]
fn captured_rows_are_filtered_by_their_columns() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "rows");
    db.run(
        "create table tree (id int primary key, genus text, place numeric);
            select herald.watch('tree')",
    );
    db.subscribe(
        "oaks",
        &receiver,
        r#"filter => '{"data": {"record.genus": ["Quercus", "Acer"], "record.place": {"between": [47.2, 47.9]}}}'"#,
    );
    db.run(
        "insert into tree values (1, 'Quercus', 47.5), (2, 'Quercus', 48), (3, 'Ulmus', 47.5), (4, 'Acer', 47.2)",
    );
    db.settle();
    let mut ids: Vec<i64> = receiver
        .requests()
        .iter()
        .map(|request| {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            body["data"]["record"]["id"].as_i64().unwrap()
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 4]);
}

#[test]
fn numbers_keep_all_their_digits_through_storage_update_and_apply() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "digits");
    let filter = |number: &str| format!(r#"{{"data": {{"n": {number}}}}}"#);
    let (long, longer) = (
        "123456789012345678901234567890.123456789",
        "123456789012345678901234567890.12345678901",
    );
    db.subscribe("n", &receiver, &format!("filter => '{}'", filter(long)));
    let shown = "select filter from herald.subscription";
    assert_eq!(db.text(shown), filter(long));
    emit(
        &mut db,
        "same",
        &filter(long).replace(r#"{"data": "#, "").replace("}}", "}"),
    );
    emit(&mut db, "other", r#"{"n": 123456789012345678901234567890}"#);
    db.settle();
    assert_eq!(types(&receiver), ["same"]);
    db.run(&format!(
        "update herald.subscription set filter = '{}'",
        filter(longer)
    ));
    assert_eq!(db.text(shown), filter(longer));
    let declared = format!(
        r#"{{"subscriptions": [{{"name": "n", "url": "{}", "secret": "{SECRET}", "filter": {}}}]}}"#,
        receiver.url("/"),
        filter(long)
    );
    db.run(&format!("select * from herald.apply('{declared}')"));
    assert_eq!(db.text(shown), filter(long));
    db.run("update herald.subscription set filter = null");
    emit(&mut db, "any", "{}");
    db.settle();
    assert_eq!(types(&receiver), ["any", "same"]);
}

#[test]
fn a_faulty_filter_is_refused_with_its_place_and_the_fix() {
    let mut db = Database::new(&CLUSTER, "faulty");
    let refused = db.refusal(
        r#"select herald.subscribe('x', url => 'https://example.com/', filter => '{"data": {"total": {"gt": 1, "lesser": 5}}}')"#,
    );
    assert_eq!(refused.code().code(), "22023");
    assert_eq!(refused.message(), "invalid filter");
    let detail = refused.detail().unwrap();
    assert!(detail.contains("filter.data.total"), "{detail}");
    assert!(!hint(&refused).is_empty());
    for filter in [r#"{"regex": {}}"#, "7", r#"{"data": {"a..b": 1}}"#] {
        let refused = db.refusal(&format!(
            "select herald.subscribe('x', url => 'https://example.com/', filter => '{filter}')"
        ));
        assert_eq!(refused.message(), "invalid filter", "{filter}");
    }
}

#[test]
fn a_path_that_no_recent_event_has_is_a_warning_and_a_line_of_doctor() {
    let mut db = Database::new(&CLUSTER, "slips");
    db.run(
        "create table tree (id int primary key, genus text); select herald.watch('tree', type => 'tree');
         insert into tree select n, 'Quercus' from generate_series(1, 30) n",
    );
    let doctor = r#"select coalesce(string_agg(detail || ' ' || hint, '; '), 'none') from herald.doctor() where "check" = 'filter'"#;
    let subscribe = |types: &str, filter: &str| {
        format!(
            r#"select herald.subscribe('oaks', url => 'https://example.com/', types => '{types}', filter => '{filter}')"#
        )
    };
    // No event of these types: nothing can be said.
    db.run(&subscribe("{bird}", r#"{"data": {"genus": "Quercus"}}"#));
    assert_eq!(db.text(doctor), "none");
    db.run(&subscribe(
        "{tree}",
        r#"{"data": {"record.genus": "Quercus", "old_record.genus": {"exists": false}}}"#,
    ));
    assert_eq!(db.text(doctor), "none");
    let (tell, told) = mpsc::channel();
    let client = CLUSTER
        .config(&db.name)
        .notice_callback(move |notice| tell.send(notice).unwrap_or(()))
        .connect(NoTls);
    Database::with(&db.name, client.expect("a session")).run(&subscribe(
        "{tree}",
        r#"{"data": {"genus": "Quercus", "record.id": "> 1"}}"#,
    ));
    let warning = told.recv().expect("a warning");
    assert_eq!(
        [
            warning.message(),
            warning.detail().unwrap(),
            warning.hint().unwrap()
        ],
        [
            r#"the filter of subscription "oaks" asks for "genus", which no recent event has"#,
            "Events of its types and with small data that were looked at: 30.",
            r#"Perhaps you meant "record.genus"."#
        ]
    );
    assert_eq!(
        db.text(doctor),
        r#"the filter of subscription "oaks" asks for "genus", which none of 30 recent events of its types has Perhaps it is "record.genus"."#
    );
}

#[test]
fn why_names_the_rule_and_the_value_that_it_saw() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "why");
    db.subscribe(
        "large",
        &receiver,
        r#"filter => '{"data": {"total": ">= 100"}}'"#,
    );
    emit(&mut db, "order", r#"{"total": 42.5}"#);
    db.settle();
    let why = "select matched::text || ' ' || rule from herald.why((select uid::text from herald.event where type = 'order'))";
    assert_eq!(
        db.text(why),
        r#"false filter: data.total: ">= 100", and it is 42.5"#
    );
}

#[test]
fn replays_and_starts_from_the_log_go_by_the_filter() {
    let (late, other) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "past");
    db.subscribe("other", &other, "");
    for total in [50, 150, 250] {
        emit(&mut db, "order", &format!(r#"{{"total": {total}}}"#));
    }
    db.settle();
    db.subscribe(
        "late",
        &late,
        r#"start_from => now() - interval '1 hour', filter => '{"data": {"total": "> 100"}}'"#,
    );
    db.settle();
    assert_eq!(late.total(), 2);
    let replayed = db.number("select herald.replay('late', now() - interval '1 hour')");
    assert_eq!(replayed, 2);
    db.settle();
    assert_eq!(late.total(), 4);
}

#[test]
fn an_event_that_a_filter_cannot_read_is_a_dead_letter_and_others_pass() {
    let (shop, all) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "unreadable");
    db.subscribe(
        "shop",
        &shop,
        r#"types => '{order}', filter => '{"data": {"a": 1}}'"#,
    );
    db.subscribe("all", &all, "max_payload => 1000");
    db.run("select herald.emit('order', (repeat('[', 200) || repeat(']', 200))::jsonb)");
    db.run("create table note (a int, text text); select herald.watch('note', type => 'order', data => 'to_jsonb(new)')");
    db.run("insert into note values (1, repeat('x', 17000000))");
    emit(&mut db, "order", r#"{"a": 1}"#);
    emit(&mut db, "bill", r#"{"a": 1}"#);
    db.settle();
    assert_eq!(types(&shop), ["order"]);
    assert_eq!(
        db.text(
            "select string_agg(reason, ' ' order by event_seq) from herald.dead_letter where subscription = 'shop'"
        ),
        "poison too_large"
    );
    assert_eq!(all.total(), 3);
}

#[test]
fn what_is_held_for_a_subscription_that_cannot_be_sent_to_is_filtered_too() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "held");
    db.subscribe("shop", &receiver, r#"filter => '{"data": {"a": 1}}'"#);
    db.until("select herald_internal.worker_pid() is not null", "true");
    db.run("update herald_internal.subscription set url = 'https://10.0.0.1/'; select herald_internal.changed('subscription')");
    for data in [r#"{"a": 1}"#, r#"{"a": 2}"#] {
        emit(&mut db, "order", data);
    }
    db.until("select count(*) from herald.pending", "1");
    let mend = format!(
        "update herald_internal.subscription set url = '{}'; select herald_internal.changed('subscription')",
        receiver.url("/")
    );
    db.run(&mend);
    db.settle();
    assert_eq!(receiver.total(), 1);
}

#[test]
fn a_stored_filter_that_cannot_be_read_holds_events_and_passes_the_right_ones_once_mended() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "unreadable_filter");
    db.subscribe("shop", &receiver, r#"filter => '{"data": {"a": 1}}'"#);
    db.until("select herald_internal.worker_pid() is not null", "true");
    let store = |filter: &str| {
        format!(
            "update herald_internal.subscription set options = jsonb_set(options, '{{filter}}', '{filter}');
             select herald_internal.changed('subscription')"
        )
    };
    db.run(&store(r#"{"data": {"a": {"nonsense": 1}}}"#));
    for data in [r#"{"a": 1}"#, r#"{"a": 2}"#] {
        emit(&mut db, "order", data);
    }
    db.until("select count(*) from herald.pending", "2");
    db.until(
        "select count(*) from herald.doctor() where status = 'error' and detail ~ 'nonsense'",
        "1",
    );
    db.run(&store(r#"{"data": {"a": 1}}"#));
    db.settle();
    assert_eq!(receiver.total(), 1);
}

#[test]
fn a_subscription_that_changes_all_the_time_keeps_a_bounded_number_of_former_states() {
    let mut db = Database::new(&CLUSTER, "changing");
    db.run("select herald.stop_worker()");
    db.run("select herald.subscribe('shop', url => 'https://example.com/')");
    db.run(
        r#"do $$ begin
            for n in 1..300 loop
                update herald.subscription set filter = jsonb_build_object('data', jsonb_build_object('a', n));
                commit;
            end loop;
        end $$"#,
    );
    assert_eq!(db.count("herald_internal.former_match"), 100);
}

#[test]
fn a_plan_may_withhold_filters_from_tenants() {
    let mut db = Database::new(&CLUSTER, "plans");
    db.run("create role filters_acme login; insert into herald.tenant (name, role, plan) values ('acme', 'filters_acme', 'starter')");
    db.run("set role filters_acme");
    let subscribe = format!(
        r#"select herald.subscribe('acme/x', url => 'https://example.com/', secret => '{SECRET}', filter => '{{"data": {{"a": 1}}}}')"#
    );
    let refused = db.refusal(&subscribe);
    assert_eq!(refused.code().code(), "42501");
    assert_eq!(refused.message(), r#"plan "starter" has no filters"#);
    db.run("reset role; update herald.tenant set plan = 'professional'; set role filters_acme");
    db.run(&subscribe);
    let tested = r#"select matched::text || ' ' || rule || ' ' || saw from herald.test_filter('{"data": {"a": 1}}', '{"type": "x", "data": {"a": 2}}')"#;
    assert_eq!(db.text(tested), r#"false data.a: 1 2"#);
}

#[test]
fn what_was_read_before_a_change_keeps_its_subscriptions_after_a_crash() {
    let cluster = common::cluster();
    let (changed, retyped) = (
        receiver_with(Mode::hang_before_answer()),
        receiver_with(Mode::hang_before_answer()),
    );
    let mut db = Database::new(&cluster, "changed");
    db.subscribe(
        "changed",
        &changed,
        r#"filter => '{"data": {"a": 1}}', max_concurrency => 1"#,
    );
    db.subscribe(
        "retyped",
        &retyped,
        "types => '{before}', max_concurrency => 1",
    );
    for _ in 0..2 {
        emit(&mut db, "before", r#"{"a": 1}"#);
    }
    emit(&mut db, "before", r#"{"a": 2}"#);
    for receiver in [&changed, &retyped] {
        receiver.wait_until("a request", |receiver| receiver.total() == 1, SOON);
    }
    db.run(
        r#"update herald.subscription set filter = '{"data": {"a": 2}}' where name = 'changed'"#,
    );
    db.run("update herald.subscription set types = '{after}' where name = 'retyped'");
    cluster.stop(StopMode::Immediate).expect("a crash");
    for receiver in [&changed, &retyped] {
        receiver.set_mode(Mode::ok());
    }
    cluster.start().expect("the server is back");
    let mut db = Database::of(&cluster, &db.name);
    emit(&mut db, "after", r#"{"a": 2}"#);
    db.settle();
    let delivered = "select string_agg(e.type || (e.data ->> 'a'), ' ' order by e.seq) from herald.delivery d
                     join herald.event e on e.seq = d.event_seq where d.state = 'delivered' and d.subscription = ";
    assert_eq!(
        db.text(&format!("{delivered} 'changed'")),
        "before1 before1 after2"
    );
    assert_eq!(
        db.text(&format!("{delivered} 'retyped'")),
        "before1 before1 before2 after2"
    );
}
