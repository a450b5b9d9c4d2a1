//! What a tenant may store, and the addresses it may send to.

use crate::common::Database;
use crate::{CLUSTER, emit, tenant};

#[test]
fn what_a_tenant_may_store_is_bounded() {
    let mut db = Database::new(&CLUSTER, "bounds");
    let (_, mut session) = tenant(&mut db, "one", "enterprise");
    session.subscribe_at("shop", "https://example.com/", "");
    for call in [
        "herald.rotate_secret('shop', grace => '2 years')".to_owned(),
        "herald.rotate_secret('shop', grace => timestamptz '294270-01-01' - now())".to_owned(),
        "herald.subscribe('shop', dead_letter_retention => '300000 years')".to_owned(),
        format!(
            "herald.subscribe('shop', description => '{}')",
            "x".repeat(1001)
        ),
    ] {
        let refused = session.refusal(&format!("select {call}"));
        assert_eq!(refused.code().code(), "22023", "{call}");
        assert!(refused.hint().is_some() && refused.detail().is_some());
    }
    session.run("begin isolation level repeatable read; select 1");
    let (_, mut limited) = tenant(&mut db, "two", "starter");
    limited.run("begin isolation level repeatable read");
    let refused = limited.refusal("select herald.subscribe('shop', url => 'https://example.com/')");
    assert_eq!(refused.code().code(), "25000");
}

#[test]
fn a_tenant_has_no_template_but_may_keep_the_platform_s() {
    let mut db = Database::new(&CLUSTER, "templates");
    let (name, mut session) = tenant(&mut db, "one", "enterprise");
    session.subscribe_at("shop", "https://example.com/", "");
    let template = "format => 'template', template => '{{ data }}'";
    let refused = session.refusal(&format!("select herald.subscribe('shop', {template})"));
    assert_eq!(refused.code().code(), "42501");
    assert_eq!(
        refused.hint(),
        Some("Let the platform set it, or use another format.")
    );
    db.run(&format!(
        "select herald.subscribe('{name}/shop', {template})"
    ));
    session.run("select herald.subscribe('shop', timeout => '5 s')");
}

#[test]
fn tenants_reach_the_networks_of_tenants_and_are_told_no_more() {
    let mut db = Database::new(&CLUSTER, "networks");
    let (name, mut session) = tenant(&mut db, "one", "enterprise");
    let subscribe = "select herald.subscribe('shop', url => 'http://127.0.0.2:81/')";
    let refused = session.refusal(subscribe);
    assert_eq!(refused.code().code(), "22023");
    assert!(
        refused
            .hint()
            .is_some_and(|hint| hint.contains("herald.tenant_networks"))
    );
    // The platform's operator may.
    db.run(subscribe);
    db.run("select herald.unsubscribe('shop')");

    session.subscribe_at("shop", "http://nowhere.invalid/", "");
    // Wait until the worker knows it.
    session.until(
        "select error_class || ', ' || error from herald.ping('shop')",
        "dns, DNS: nowhere.invalid has no address that may be called",
    );
    // A url accepted earlier is held, and the tenant is not told by which setting.
    db.run("update herald_internal.subscription set url = 'http://127.0.0.2:81/'; select herald_internal.changed('subscription')");
    let event = emit(&mut db, &name, "held");
    db.until("select count(*) from herald.pending", "1");
    let why = format!("select blocked_by from herald.why('{event}')");
    assert_eq!(session.text(&why), "cannot send: ask who runs the database");
    assert!(db.text(&why).contains("127.0.0.2"));
    let ping = format!("select error from herald.ping('{name}/shop')");
    assert_eq!(
        session.text(&ping),
        "cannot send: ask who runs the database"
    );
    assert!(db.text(&ping).contains("127.0.0.2"));
}
