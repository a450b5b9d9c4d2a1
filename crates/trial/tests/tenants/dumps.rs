//! Tenants in a dump, restored where their roles are and where they are not.

use herald_trial::Cluster;

use crate::common::{Database, SOON, cluster_with, receiver};
use crate::{CLUSTER, emit, plan, tenant};

#[test]
fn tenants_plans_and_accounts_are_in_a_dump_and_work_where_it_is_restored() {
    let mut db = Database::new(&CLUSTER, "dumped");
    let receiver = receiver();
    plan(&mut db, "pilot", "endpoints, events_per_month", "1, 7");
    let (name, mut session) = tenant(&mut db, "one", "pilot");
    session.subscribe("shop", &receiver, "");
    emit(&mut db, &name, "before");
    db.settle();

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("dump").display().to_string();
    let dump = ["--file", file.as_str()];
    CLUSTER
        .run_client("pg_dump", "dumped", &dump)
        .expect("a dump");
    CLUSTER.create_database("restored").expect("a database");
    let load = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.as_str()];
    CLUSTER
        .run_client("psql", "restored", &load)
        .expect("a restore");

    let copy = Database::of(&CLUSTER, "restored");
    let mut there = copy.session_as(&CLUSTER, &name);
    assert_eq!(
        there.text(
            "select concat_ws(' ', tenant, plan, events, events_per_month) from herald.usage"
        ),
        format!("{name} pilot 1 7")
    );
    assert_eq!(
        there.text("select subscription from herald.delivery"),
        format!("{name}/shop")
    );
    let more = "select herald.subscribe('more', url => 'https://example.com/')";
    assert_eq!(there.sqlstate(more), "53400");
}

#[test]
fn a_tenant_is_never_the_platform_where_its_role_is_missing() {
    let mut db = Database::new(&CLUSTER, "homeless");
    let receiver = receiver();
    let (name, mut session) = tenant(&mut db, "one", "starter");
    session.subscribe("shop", &receiver, "");
    db.subscribe("label", &receiver, "tenant => 'nobody'");
    // Another role is dropped before the dump, with its grants.
    let (dropped, mut other) = tenant(&mut db, "two", "starter");
    other.subscribe("shop", &receiver, "");
    drop(other);
    db.run(&format!("drop owned by {dropped}; drop role {dropped}"));

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("dump").display().to_string();
    let dump = ["--format=custom", "--file", file.as_str()];
    CLUSTER
        .run_client("pg_dump", "homeless", &dump)
        .expect("a dump");
    let elsewhere = cluster_with(&[("herald.allow_networks", "127.0.0.1")]);
    for cluster in [&elsewhere, &*CLUSTER] {
        restore_without_owners(cluster, "home", &file);
    }

    let mut there = Database::of(&elsewhere, "home");
    let whose = "select string_agg(concat_ws(' ', name, is_tenants), ', ' order by name) from herald_internal.subscription";
    let expected = format!("{name}/shop t, {dropped}/shop t, label f");
    assert_eq!(there.text(whose), expected);
    let missing = |names: [&str; 2]| {
        names.map(|name| format!("role \"{name}\" of tenant \"{name}\" is missing, so nothing is sent to its subscriptions"))
    };
    let named = "select detail from herald.doctor() where \"check\" = 'tenant' order by 1";
    assert_eq!(there.texts(named), missing([&name, &dropped]));
    there.run("select herald.resume_after_restore('deliver')");
    there.run("select herald.rotate_secret(name) from herald.subscription");
    for tenant in [&name, &dropped, "nobody"] {
        there.run(&format!(
            "select herald.emit('order.paid', tenant => '{tenant}')"
        ));
    }
    receiver.wait_for(1, SOON);
    let states = "select string_agg(concat_ws(' ', subscription, state), ', ' order by subscription) from herald.delivery";
    let held = format!("{name}/shop pending, {dropped}/shop pending, label delivered");
    there.until(states, &held);
    assert_eq!(receiver.total(), 1);
    let why = format!(
        "select blocked_by from herald.why((select uid::text from herald.event where tenant = '{name}')) where matched"
    );
    assert!(
        there.text(&why).contains("is missing"),
        "{}",
        there.text(&why)
    );
    // With a role it is a tenant as before: it cannot use the platform's networks.
    there.run(&format!(
        "create role {name} login; update herald.tenant set role = '{name}' where name = '{name}'"
    ));
    assert_eq!(there.texts(named), missing([&name, &dropped])[1..]);
    there.until(&why, "cannot send: the url leads to a blocked address: 127.0.0.1 (127.0.0.1 is this machine itself.)");

    // At home it finds its role, and no other role with the name of a dropped one.
    let mut home = Database::of(&CLUSTER, "home");
    assert_eq!(home.text(whose), expected);
    assert_eq!(home.texts(named), missing([&name, &dropped])[1..]);
    let mut session = home.session_as(&CLUSTER, &name);
    assert_eq!(session.count("herald.subscription"), 1);
}

/// Creates a database and restores a dump into it, without owners and privileges.
fn restore_without_owners(cluster: &Cluster, database: &str, file: &str) {
    cluster.create_database(database).expect("a database");
    let into = format!("--dbname={database}");
    let options = [
        into.as_str(),
        "--no-owner",
        "--no-privileges",
        "--exit-on-error",
        file,
    ];
    cluster
        .run_client("pg_restore", database, &options)
        .expect("a restore");
}
