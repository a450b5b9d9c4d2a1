//! Tenants: each sees and manages everything of its own, and only that.
//!
//! sight.rs is about what a tenant sees and names, accounts.rs about who is a tenant and what it is called, bounds.rs
//! about what it may store and where it may send, dumps.rs about tenants elsewhere, and plans.rs about the limits of
//! their plans.

mod accounts;
mod bounds;
#[path = "../common/mod.rs"]
mod common;
mod dumps;
mod plans;
mod sight;

use std::sync::LazyLock;

use common::{Database, SECRET, cluster_with};
use herald_trial::{Cluster, Mode, Receiver};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    cluster_with(&[
        ("herald.sender_threads", "8"),
        ("herald.tenant_networks", "127.0.0.1"),
    ])
});

/// Creates a tenant with its own login role. Both are called `<database>_<name>`, because roles belong to the cluster.
fn tenant(db: &mut Database, name: &str, plan: &str) -> (String, Database) {
    let name = format!("{}_{name}", db.name);
    db.run(&format!("create role {name} login"));
    db.run(&format!(
        "insert into herald.tenant (name, role, plan) values ('{name}', '{name}', '{plan}')"
    ));
    let session = db.session_as(&CLUSTER, &name);
    (name, session)
}

fn plan(db: &mut Database, name: &str, columns: &str, values: &str) {
    db.run(&format!(
        "insert into herald.plan (name, {columns}) values ('{name}', {values})"
    ));
}

fn emit(db: &mut Database, tenant: &str, word: &str) -> String {
    db.text(&format!(
        "select herald.emit('order.paid', '{{\"word\": \"{word}\"}}', id => '{tenant}-{word}', tenant => '{tenant}',
             key => '{tenant}')"
    ))
}

/// A tenant with a subscription `shop` at this receiver, and with a delivered and a dead delivery.
struct Settled {
    name: String,
    session: Database,
    subscription_id: String,
    delivered: String,
    dead: String,
}

impl Settled {
    fn new(db: &mut Database, name: &str, receiver: &Receiver) -> Self {
        let (name, mut session) = tenant(db, name, "enterprise");
        let full = session.text(&format!(
            "select name from herald.subscribe('shop', url => '{}', secret => '{SECRET}', max_attempts => 1,
                 ordering => 'key', dead_blocks => true)",
            receiver.url("/")
        ));
        assert_eq!(full, format!("{name}/shop"));
        let delivered = emit(db, &name, "delivered");
        db.settle();
        receiver.set_mode(Mode::status(500));
        let dead = emit(db, &name, "dead");
        db.settle();
        receiver.set_mode(Mode::ok());
        let subscription_id = db.text(&format!(
            "select id from herald.subscription where name = '{full}'"
        ));
        Self {
            name,
            session,
            subscription_id,
            delivered,
            dead,
        }
    }
}
