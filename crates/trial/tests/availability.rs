//! Standbys, promotion, clones, and mismatched libraries: which server sends, and which waits for a decision.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, cluster_with, promote, receiver, replay, subscribed, types};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Receiver, StopMode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Starts a primary with one subscription and one delivered event, a standby that has replayed that, and their
/// receiver.
fn pair(standby_settings: &[(&str, &str)]) -> (Receiver, Cluster, Cluster) {
    let receiver = receiver();
    let primary = common::cluster();
    let mut db = Database::new(&primary, "shop");
    db.watched_table();
    db.subscribe("shop", &receiver, "");
    db.emit("before");
    db.settle();
    let mut builder = Cluster::builder()
        .fsync(false)
        .setting("max_connections", "200");
    for (name, value) in standby_settings {
        builder = builder.setting(name, value);
    }
    let standby = builder.start_standby_of(&primary).expect("a standby");
    (receiver, primary, standby)
}

#[test]
fn a_standby_sends_nothing_and_goes_on_where_the_primary_stopped_when_it_is_promoted() {
    let (receiver, primary, standby) = pair(&[]);
    let mut db = Database::of(&primary, "shop");
    db.run("insert into note values (1, 'while there was a primary')");
    db.settle();
    db.run("select herald.pause('shop')");
    db.run("insert into note values (2, 'pending at the promotion')");
    db.until("select count(*) from herald.pending", "1");
    replay(&primary, &standby);

    let mut waiting = Database::of(&standby, "shop");
    assert_eq!(standby.worker_pid("shop").unwrap(), None);
    assert_eq!(standby.launcher_pid().unwrap(), None);
    // Read-only functions work on a standby, too.
    assert_eq!(waiting.count("herald.delivery"), 3);
    assert_eq!(
        waiting.count("herald.doctor() where \"check\" = 'worker' and status = 'error'"),
        0
    );
    assert_eq!(receiver.total(), 2);

    db.run("select herald.stop_worker()");
    db.run("update herald_internal.subscription set state = 'active', state_reason = null");
    db.run("insert into note values (3, 'not read at the promotion')");
    replay(&primary, &standby);
    drop(db);
    primary.stop(StopMode::Immediate).unwrap();
    promote(&standby);
    waiting.settle();
    waiting.run("insert into note values (4, 'after the promotion')");
    waiting.settle();
    assert_eq!(receiver.accepted(), 5);
    assert!(receiver.duplicates().is_empty());
    let said = "this cluster was promoted or recovered to a new timeline (2, was 1)";
    assert!(standby.log().contains(said), "{}", standby.log());
}

#[test]
fn with_on_timeline_change_pause_a_promoted_standby_waits_for_a_decision() {
    let (receiver, primary, standby) = pair(&[("herald.on_timeline_change", "pause")]);
    replay(&primary, &standby);
    primary.stop(StopMode::Immediate).unwrap();
    promote(&standby);
    let mut db = Database::of(&standby, "shop");
    let origin = "select status || ': ' || detail from herald.doctor() where \"check\" = 'origin'";
    db.until(
        origin,
        "error: the cluster was promoted or recovered to a new timeline",
    );
    db.emit("after");
    assert!(!receiver.holds_within(Duration::from_millis(500), |receiver| receiver.total() > 1));
    db.run("select herald.resume_after_restore('deliver')");
    db.settle();
    assert_eq!(types(&receiver), ["after", "before"]);
    assert!(receiver.duplicates().is_empty());
}

#[test]
fn a_surviving_old_primary_resends_open_deliveries_and_sends_its_own_events() {
    let (receiver, primary, standby) = pair(&[("herald.on_timeline_change", "pause")]);
    let mut old = Database::of(&primary, "shop");
    old.run("select herald.pause('shop')");
    let open = old.emit("open");
    old.until("select count(*) from herald.pending", "1");
    replay(&primary, &standby);
    // The standby no longer hears from the primary, and the primary does not know of the promotion.
    promote(&standby);
    let mut new = Database::of(&standby, "shop");
    old.run("select herald.resume('shop')");
    new.run("select herald.resume('shop')");
    let of_the_old = old.emit("on.the.old");
    let of_the_new = new.emit("on.the.new");
    old.settle();
    assert!(!receiver.holds_within(Duration::from_millis(500), |receiver| receiver.total() > 3));
    assert_eq!(types(&receiver), ["before", "on.the.old", "open"]);

    standby
        .set("herald.on_timeline_change", "continue")
        .unwrap();
    new.settle();
    let attempts = [&open, &of_the_old, &of_the_new].map(|id| receiver.attempts(id));
    assert_eq!(attempts, [2, 1, 1], "{receiver:?}");
    assert_eq!(receiver.duplicates(), [(open, 2)]);
}

#[test]
fn a_standby_of_a_standby_waits_until_it_is_promoted_itself() {
    let (receiver, primary, middle) = pair(&[]);
    let last = Cluster::builder()
        .fsync(false)
        .setting("max_connections", "200")
        .start_standby_of(&middle)
        .expect("a standby of the standby");
    let waits = |standby: &Cluster| {
        assert_eq!(standby.worker_pid("shop").unwrap(), None);
        assert_eq!(standby.launcher_pid().unwrap(), None);
    };
    replay(&primary, &last);
    waits(&last);
    for (from, to) in [(&primary, &middle), (&middle, &last)] {
        let mut db = Database::of(from, "shop");
        db.run("select herald.stop_worker()");
        db.emit("not.read");
        replay(from, to);
        replay(from, &last);
        waits(to);
        from.stop(StopMode::Immediate).unwrap();
        promote(to);
        Database::of(to, "shop").settle();
    }
    let mut db = Database::of(&last, "shop");
    db.emit("after");
    db.settle();
    assert_eq!(receiver.accepted(), 4);
    assert!(receiver.duplicates().is_empty());
}

#[test]
fn a_clone_that_herald_instance_does_not_name_sends_nothing() {
    let receiver = receiver();
    let cluster = cluster_with(&[("cluster_name", "clone"), ("herald.instance", "production")]);
    let mut db = Database::subscribed(&cluster, "cloned", &receiver, "");
    db.emit("order.paid");
    let origin = "select status || ': ' || detail from herald.doctor() where \"check\" = 'origin'";
    db.until(
        origin,
        "error: herald.instance is \"production\" and cluster_name is \"clone\"",
    );
    let decided = db.refusal("select herald.resume_after_restore('deliver')");
    assert!(common::hint(&decided).contains("herald.instance"));
    let hint = "select hint from herald.doctor() where \"check\" = 'origin'";
    assert!(db.text(hint).contains("herald.instance"));
    assert!(!receiver.holds_within(Duration::from_millis(500), |receiver| receiver.total() > 0));
    cluster.set("herald.instance", "clone").unwrap();
    receiver.wait_for(1, SOON);
}

#[test]
fn a_worker_whose_library_is_of_another_version_waits_for_the_update() {
    let (receiver, mut db) = subscribed(&CLUSTER, "version", "");
    db.emit("before");
    db.settle();
    let installed = db.text("select extversion from pg_extension where extname = 'pg_herald'");
    let set = "update pg_extension set extversion = '0.0.0' where extname = 'pg_herald'; select herald.restart_worker()";
    db.run(set);
    db.emit("while.it.does.not.fit");
    eventually(SOON, "a worker that waits", || {
        let activity = db.text("select coalesce(max(query), '') from pg_stat_activity where backend_type = 'pg_herald worker' and datname = 'version'");
        activity.contains("0.0.0").then_some(())
    });
    let version = "select status || ' ' || hint from herald.doctor() where \"check\" = 'version'";
    assert!(
        db.text(version)
            .starts_with("error Run: alter extension pg_herald update;"),
        "{}",
        db.text(version)
    );
    assert_eq!(receiver.total(), 1);
    db.run(&format!(
        "update pg_extension set extversion = '{installed}' where extname = 'pg_herald'"
    ));
    receiver.wait_for(2, SOON);
}
