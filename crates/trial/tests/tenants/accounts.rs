//! Who is a tenant, and what it and its subscriptions are called.

use crate::common::{Database, receiver};
use crate::{CLUSTER, Settled, tenant};

#[test]
fn a_tenant_inherits_nothing_from_a_former_tenant_of_its_name() {
    let mut db = Database::new(&CLUSTER, "heirs");
    let receiver = receiver();
    let former = Settled::new(&mut db, "one", &receiver);
    let name = former.name.clone();
    let refused = db.refusal("update herald.subscription set tenant = null, name = 'mine'");
    assert_eq!(refused.code().code(), "0A000");
    db.run("select herald.unsubscribe(name) from herald.subscription");
    db.run("delete from herald.tenant");
    db.run(&format!(
        "insert into herald.tenant (name, role) values ('{name}', '{name}')"
    ));
    let mut heir = db.session_as(&CLUSTER, &name);
    for relation in ["attempt", "dead_letter", "delivery", "subscription"] {
        assert_eq!(
            heir.number(&format!("select count(*) from herald.{relation}")),
            0,
            "{relation}"
        );
    }
    assert_eq!(heir.number("select events from herald.usage"), 0);
    // Whatever has the name of a future tenant blocks its creation.
    db.run(
        "select herald.subscribe('label', url => 'https://example.com/', tenant => 'heirs_label')",
    );
    let refused = db.refusal("insert into herald.tenant (name) values ('heirs_label')");
    assert_eq!(refused.code().code(), "55006");
}

#[test]
fn a_name_says_whose_a_subscription_is() {
    let mut db = Database::new(&CLUSTER, "names");
    let (name, mut session) = tenant(&mut db, "one", "enterprise");
    let subscribe = |name: &str, more: &str| {
        format!("select herald.subscribe('{name}', url => 'https://example.com/'{more})")
    };
    for (call, hint) in [
        (
            subscribe("shop", &format!(", tenant => '{name}'")),
            format!("Call it {name}/shop."),
        ),
        (
            subscribe(&format!("{name}/shop"), ", tenant => 'another'"),
            format!("Use tenant => '{name}', or another name."),
        ),
    ] {
        let refused = db.refusal(&call);
        assert_eq!(refused.code().code(), "22023");
        assert_eq!(refused.hint(), Some(hint.as_str()));
    }
    // A tenant cannot take over a name that was taken before it existed.
    db.run(&subscribe("later/shop", ""));
    let refused = db.refusal("insert into herald.tenant (name) values ('later')");
    assert_eq!(refused.code().code(), "55006");
    db.run(&format!(
        "update herald_internal.subscription set name = '{name}/taken' where name = 'later/shop'"
    ));
    let refused = session.refusal(&subscribe("taken", ""));
    assert_eq!(refused.code().code(), "42501");
    db.run("delete from herald.subscription");
    db.run(&subscribe(&format!("{name}/shop"), ""));
    assert_eq!(db.text("select tenant from herald.subscription"), name);
    // A tenant without an account remains a label.
    db.run(&subscribe("other", ", tenant => 'label'"));
    let refused = db.refusal("delete from herald.tenant");
    assert_eq!(refused.code().code(), "2BP01");
}

#[test]
fn a_privileged_role_cannot_become_a_tenant_role() {
    let mut db = Database::new(&CLUSTER, "roles");
    db.run("create role roles_reader; select herald.grant_access('roles_reader', 'reader')");
    db.run("create role roles_emitter; select herald.grant_access('roles_emitter', 'emitter')");
    db.run("create role roles_super superuser");
    for role in ["roles_reader", "roles_emitter", "roles_super"] {
        let refused = db.refusal(&format!(
            "insert into herald.tenant (name, role) values ('t', '{role}')"
        ));
        assert_eq!(refused.code().code(), "22023");
        assert!(refused.hint().is_some());
    }
    let (name, _) = tenant(&mut db, "one", "enterprise");
    let refused = db.refusal(&format!("select herald.grant_access('{name}', 'operator')"));
    assert_eq!(refused.code().code(), "22023");
    db.run("delete from herald.tenant");
    assert!(!db.truth(&format!(
        "select has_schema_privilege('{name}', 'herald', 'usage')"
    )));
    assert_eq!(
        db.text("select string_agg(action || ' ' || kind || ' ' || name, ', ' order by id) from herald.audit where kind = 'tenant'"),
        format!("created tenant {name}, removed tenant {name}")
    );
}
