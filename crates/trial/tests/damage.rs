//! Events that cannot be read or buried as they are: each costs only itself, and its neighbours are served.

mod common;

use std::fs;
use std::sync::LazyLock;

use common::{Database, SOON, cluster_with, receiver, subscribed, types};
use herald_trial::{Cluster, Receiver, StopMode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn an_event_too_deep_for_a_dead_letter_is_buried_without_its_content() {
    let mut db = Database::new(&CLUSTER, "deep");
    let receiver = receiver();
    db.run("create table note (id int primary key, words json); select herald.watch('note')");
    db.subscribe("shop", &receiver, "");
    db.run(
        "insert into note values
             (1, '{}'),
             (2, (repeat('[', 14546) || '\"' || repeat('x', 300000) || '\"' || repeat(']', 14546))::json),
             (3, '{}')",
    );
    db.settle();
    db.until_dead("too_large");
    assert_eq!(receiver.accepted(), 2);
    assert_eq!(db.count("herald.attempt where outcome = 'delivered'"), 2);
}

/// Emits five events. The third is large and incompressible in this attribute, which is therefore stored out of line.
fn emit_with_a_large_one(db: &mut Database, attribute: &str) {
    db.run("begin");
    db.run("select herald.emit('before.' || n, '{}') from generate_series(1, 2) n");
    db.run(&format!(
        "select herald.emit('damaged', {attribute} => (
             select jsonb_build_object('words', string_agg(md5(n::text || random()), '')) from generate_series(1, 200) n))"
    ));
    db.run("select herald.emit('after.' || n, '{}') from generate_series(1, 2) n");
    db.run("commit");
}

/// Overwrites everything stored out of line for events with empty pages, while the server is down.
fn damage(cluster: &Cluster, mut db: Database) -> Database {
    let file = db.text(
        "select pg_relation_filepath(c.reltoastrelid)
         from pg_class c where c.oid = (select tableoid from herald.event where type = 'damaged')",
    );
    db.run("checkpoint");
    let name = db.name.clone();
    drop(db);
    cluster.stop(StopMode::Fast).unwrap();
    let path = cluster.data_dir().join(file);
    let length = fs::metadata(&path).unwrap().len();
    assert!(length > 0, "nothing is stored out of line");
    fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    cluster.start().unwrap();
    Database::of(cluster, &name)
}

/// Checks that all events but the damaged one were delivered, each once.
#[track_caller]
fn assert_got_the_neighbours(receiver: &Receiver) {
    let neighbours = ["after.1", "after.2", "before.1", "before.2"];
    assert_eq!(types(receiver), neighbours);
    assert_eq!(receiver.total(), 4, "each once");
}

#[test]
fn a_damaged_event_is_buried_and_its_neighbours_are_delivered() {
    let cluster = Cluster::builder().start().unwrap();
    let (receiver, mut db) = subscribed(&cluster, "damaged", "");
    cluster.set("herald.enabled", "off").unwrap();
    emit_with_a_large_one(&mut db, "data");
    let mut db = damage(&cluster, db);
    cluster.set("herald.enabled", "on").unwrap();
    db.settle();
    db.until_dead("poison");
    assert_got_the_neighbours(&receiver);
    assert_eq!(db.text("select type from herald.dead_letter"), "damaged");
    db.emit("later");
    db.settle();
    assert_eq!(receiver.total(), 5);
}

#[test]
fn a_damaged_event_that_is_pending_is_buried_and_its_neighbours_are_delivered() {
    let cluster = Cluster::builder().start().unwrap();
    let (receiver, mut db) = subscribed(&cluster, "pending", "");
    db.run("select herald.pause('shop')");
    emit_with_a_large_one(&mut db, "data");
    db.until("select count(*) from herald.pending", "5");
    let mut db = damage(&cluster, db);
    db.run("select herald.resume('shop')");
    db.settle();
    db.until_dead("poison");
    assert_got_the_neighbours(&receiver);
}

#[test]
fn a_damaged_event_of_which_nothing_else_can_be_read_leaves_an_empty_dead_letter() {
    let cluster = Cluster::builder().start().unwrap();
    let (receiver, mut db) = subscribed(&cluster, "empty", "");
    cluster.set("herald.enabled", "off").unwrap();
    // Not even its attributes can be read for a dead letter.
    emit_with_a_large_one(&mut db, "extensions");
    let mut db = damage(&cluster, db);
    cluster.set("herald.enabled", "on").unwrap();
    db.settle();
    db.until_dead("poison");
    assert_eq!(
        db.text("select format('%s %s %s', event_id, type, event) from herald.dead_letter"),
        "? ? {}"
    );
    assert_got_the_neighbours(&receiver);
}

#[test]
fn an_event_with_an_endless_subject_costs_no_other_a_second_request() {
    let cluster = cluster_with(&[("herald.poll_interval", "1s")]);
    let (receiver, mut db) = subscribed(&cluster, "endless", "");
    db.emit("first");
    db.settle();
    // Neither emit() nor capture writes this.
    db.run(
        "insert into herald.event (origin, time, uid, size, slot, source, type, subject, data)
         select origin, now(), gen_random_uuid(), 2, slot, source, 'endless', repeat('s', 300000000), '{}'
         from herald.event where type = 'first'",
    );
    for n in 0..10 {
        db.emit(&format!("later.{n}"));
    }
    receiver.wait_for(11, SOON);
    db.settle();
    db.until_dead("too_large");
    let delivered = "select count(*) from herald.attempt where outcome = 'delivered'";
    assert_eq!(db.number(delivered), 11);
    assert_eq!(
        db.number("select length(event ->> 'subject') from herald.dead_letter"),
        4096
    );
    drop(db);
    cluster.restart(StopMode::Fast).unwrap();
    let mut db = Database::of(&cluster, "endless");
    db.emit("last");
    db.settle();
    assert_eq!(receiver.total(), 12, "each once");
    assert_eq!(db.number(delivered), 12);
}
