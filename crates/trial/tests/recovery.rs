//! Copies of the files: recovery to a point in time, and clones that look like the original.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{Database, SOON, cluster_with, receiver, types};
use herald_trial::{Cluster, StopMode, figure};

const ORIGIN: &str =
    "select status || ': ' || detail from herald.doctor() where \"check\" = 'origin'";

#[test]
fn a_recovery_to_a_point_in_time_sends_again_what_was_done_after_that_point() {
    let archive = tempfile::tempdir().expect("an archive");
    fs::set_permissions(archive.path(), fs::Permissions::from_mode(0o777)).expect("its rights");
    let archive = archive.path().display();
    let receiver = receiver();
    let primary = cluster_with(&[
        ("archive_mode", "on"),
        ("archive_command", &format!("cp %p {archive}/%f")),
    ]);
    let mut db = Database::new(&primary, "shop");
    db.subscribe("shop", &receiver, "");
    let recovered = Cluster::builder()
        .fsync(false)
        .setting("archive_mode", "off")
        .setting("restore_command", &format!("cp {archive}/%f %p"))
        .setting("recovery_target_name", "the point")
        .setting("recovery_target_action", "promote")
        .setting("herald.on_timeline_change", "pause")
        .back_up(&primary)
        .expect("a base backup");
    let done = db.emit("done");
    db.settle();
    db.run("select herald.pause('shop')");
    let pending = db.emit("pending");
    db.until("select count(*) from herald.pending", "1");
    db.run("select herald.stop_worker()");
    let unread = db.emit("unread");
    db.run("update herald_internal.subscription set state = 'active', state_reason = null");
    db.run("select pg_create_restore_point('the point')");
    db.run("select herald.start_worker()");
    let forgotten = db.emit("forgotten");
    db.settle();
    let file = db.text("select pg_walfile_name(pg_switch_wal())");
    db.until(
        &format!("select last_archived_wal >= '{file}' from pg_stat_archiver"),
        "true",
    );
    drop(db);
    primary.stop(StopMode::Fast).unwrap();
    assert_eq!((receiver.total(), receiver.accepted()), (4, 4));

    recovered.start_recovery().expect("a recovery");
    let mut db = Database::of(&recovered, "shop");
    db.until(
        ORIGIN,
        "error: the cluster was promoted or recovered to a new timeline",
    );
    let after = db.emit("after");
    assert!(!receiver.holds_within(Duration::from_millis(300), |receiver| receiver.total() > 4));
    recovered
        .set("herald.on_timeline_change", "continue")
        .unwrap();
    db.settle();
    let attempts = [&done, &pending, &unread, &forgotten, &after].map(|id| receiver.attempts(id));
    assert_eq!(attempts, [1, 2, 2, 1, 1], "{receiver:?}");
    // The receiver knows an event that this history does not have.
    assert_eq!(
        db.number(&format!(
            "select count(*) from herald.event where uid = '{forgotten}'"
        )),
        0
    );
    let said = "this cluster was promoted or recovered to a new timeline (2, was 1)";
    assert!(recovered.log().contains(said), "{}", recovered.log());
}

#[test]
fn a_clone_of_the_files_sends_what_the_original_sends_unless_herald_instance_tells_them_apart() {
    let receiver = receiver();
    let original = cluster_with(&[("cluster_name", "production")]);
    let mut db = Database::new(&original, "shop");
    db.subscribe("shop", &receiver, "");
    db.emit("before");
    db.settle();
    db.run("select herald.stop_worker()");
    let open = db.emit("open");
    let clone = |instance: &str| {
        let builder = Cluster::builder()
            .fsync(false)
            .setting("cluster_name", "clone");
        let clone = builder
            .setting("herald.instance", instance)
            .back_up(&original);
        let clone = clone.expect("a clone");
        clone.start().expect("it starts");
        clone
    };
    let named = clone("production");
    Database::of(&named, "shop").until(
        ORIGIN,
        "error: herald.instance is \"production\" and cluster_name is \"clone\"",
    );
    assert!(!receiver.holds_within(Duration::from_millis(300), |receiver| receiver.total() > 1));
    drop(named);

    // Nothing in the files marks them as a copy.
    let unnamed = clone("");
    Database::of(&unnamed, "shop").settle();
    db.run("select herald.start_worker()");
    db.settle();
    receiver.wait_until("both", |receiver| receiver.attempts(&open) == 2, SOON);
    let (of_the_original, of_the_clone) = (
        db.emit("of.the.original"),
        Database::of(&unnamed, "shop").emit("of.the.clone"),
    );
    receiver.wait_for(4, SOON);
    assert_ne!(of_the_original, of_the_clone);
    assert_eq!(
        types(&receiver),
        ["before", "of.the.clone", "of.the.original", "open"]
    );
    figure(
        "copies of an open event, without herald.instance",
        receiver.attempts(&open),
    );
}
