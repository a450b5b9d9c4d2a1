//! How many pings may be under way: per subscription and role (see isolation.rs), per database, and in the cluster.

mod common;

use std::thread;

use common::{Database, receiver, receiver_with};
use herald_trial::{Cluster, Mode};
use postgres::NoTls;

/// The most pings at once of a subscription, a role and a database.
const OF_A_SUBSCRIPTION: usize = 4;
const OF_A_ROLE: usize = 8;
const OF_A_DATABASE: usize = 32;

const REFUSED: &str = "too many pings are under way";
const PING_HEALTHY: &str = "select outcome from herald.ping('healthy')";

/// Creates a database with a healthy subscription, and enough hanging ones to fill its places.
fn database(cluster: &Cluster, name: &str, healthy: &str, hanging: &str) -> Database {
    let mut db = Database::new(cluster, name);
    db.subscribe_at("healthy", healthy, "");
    for n in 0..OF_A_DATABASE / OF_A_SUBSCRIPTION {
        let options = "types => '{never}', timeout => '1 min'";
        db.subscribe_at(&format!("hangs.{n}"), hanging, options);
    }
    // Receivers without a recent success share a few threads, and the hanging pings will take all of these.
    db.emit("proves.the.receiver");
    db.settle();
    db
}

/// Takes all places of a database, with its own roles, and waits until they are taken.
fn fill<'s>(scope: &'s thread::Scope<'s, '_>, cluster: &'s Cluster, db: &mut Database) {
    for role in 0..OF_A_DATABASE / OF_A_ROLE {
        db.run(&format!("create role {}_{role} superuser login", db.name));
    }
    for n in 0..OF_A_DATABASE {
        let name = db.name.clone();
        scope.spawn(move || {
            let role = format!("{name}_{}", n / OF_A_ROLE);
            let session = cluster.config(&name).user(&role).connect(NoTls);
            let ping = format!(
                "select herald.ping('hangs.{}', timeout => '1 min')",
                n / OF_A_SUBSCRIPTION
            );
            // The session is terminated.
            let _ = session.expect("a session").batch_execute(&ping);
        });
    }
    let asking = format!(
        "select count(*) from pg_stat_activity
         where datname = '{}' and query like 'select herald.ping(%' and wait_event = 'Extension'",
        db.name
    );
    db.until(&asking, &OF_A_DATABASE.to_string());
}

/// Ends `limit` pings of a database: a number, or all.
fn end(db: &mut Database, limit: &str) {
    db.run(&format!(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity
         where datname = current_database() and query like 'select herald.ping(''hangs%' limit {limit}"
    ));
}

#[test]
fn pings_are_limited_per_database_and_cluster() {
    let cluster = common::cluster();
    let (healthy, hanging) = (receiver(), receiver_with(Mode::hang_before_answer()));
    let new = |name: &str| database(&cluster, name, &healthy.url("/"), &hanging.url("/"));
    let [mut first, mut second, mut third] = ["first", "second", "third"].map(new);
    thread::scope(|scope| {
        fill(scope, &cluster, &mut first);
        // Neither this role nor this subscription has a ping.
        assert_eq!(first.refusal(PING_HEALTHY).message(), REFUSED);
        assert_eq!(third.text(PING_HEALTHY), "delivered");
        end(&mut first, "1");
        assert_eq!(first.text(PING_HEALTHY), "delivered");
        end(&mut first, "all");

        fill(scope, &cluster, &mut second);
        let mut again = new("again");
        fill(scope, &cluster, &mut again);
        assert_eq!(third.refusal(PING_HEALTHY).message(), REFUSED);
        end(&mut again, "1");
        assert_eq!(third.text(PING_HEALTHY), "delivered");
        end(&mut second, "all");
        end(&mut again, "all");
    });
}
