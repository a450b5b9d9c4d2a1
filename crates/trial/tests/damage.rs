//! Events that cannot be read or buried as they are: each costs itself, and its neighbours are served.

mod common;

use std::fs;
use std::sync::LazyLock;

use common::{Database, receiver, types};
use herald_trial::{Cluster, StopMode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn an_event_too_deep_for_a_dead_letter_is_buried_without_its_content() {
    let mut db = Database::new(&CLUSTER, "deep");
    let receiver = receiver();
    db.run("create table note (id int primary key, words json); select herald.watch('note')");
    db.subscribe("shop", &receiver.url("/"), "");
    db.run(
        "insert into note values
             (1, '{}'),
             (2, (repeat('[', 14546) || '\"' || repeat('x', 300000) || '\"' || repeat(']', 14546))::json),
             (3, '{}')",
    );
    db.settle();
    db.until_dead("too_large");
    assert_eq!(receiver.accepted(), 2);
    assert_eq!(
        db.number("select count(*) from herald.attempt where outcome = 'delivered'"),
        2
    );
}

/// Five events of which the third is large and incompressible, so that its data is stored out of line.
fn emit_with_a_large_one(db: &mut Database) {
    db.run("begin");
    db.run("select herald.emit('before.' || n, '{}') from generate_series(1, 2) n");
    db.run(
        "select herald.emit('damaged', (select jsonb_build_object('words', string_agg(md5(n::text || random()), ''))
                                        from generate_series(1, 1000) n))",
    );
    db.run("select herald.emit('after.' || n, '{}') from generate_series(1, 2) n");
    db.run("commit");
}

/// Overwrites what is stored out of line of all events with empty pages, while the server is down.
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

#[test]
fn a_damaged_event_is_buried_and_its_neighbours_are_delivered() {
    let cluster = Cluster::builder().start().unwrap();
    let mut db = Database::new(&cluster, "damaged");
    let receiver = receiver();
    db.subscribe("shop", &receiver.url("/"), "");
    cluster.set("herald.enabled", "off").unwrap();
    emit_with_a_large_one(&mut db);
    let mut db = damage(&cluster, db);
    cluster.set("herald.enabled", "on").unwrap();
    db.settle();
    db.until_dead("poison");
    assert_eq!(
        types(&receiver),
        ["after.1", "after.2", "before.1", "before.2"]
    );
    assert_eq!(receiver.total(), 4, "each once");
    assert_eq!(db.text("select type from herald.dead_letter"), "damaged");
    db.emit("later");
    db.settle();
    assert_eq!(receiver.total(), 5);
}

#[test]
fn a_damaged_event_that_is_pending_is_buried_and_its_neighbours_are_delivered() {
    let cluster = Cluster::builder().start().unwrap();
    let mut db = Database::new(&cluster, "pending");
    let receiver = receiver();
    db.subscribe("shop", &receiver.url("/"), "");
    db.run("select herald.pause('shop')");
    emit_with_a_large_one(&mut db);
    db.until("select count(*) from herald.pending", "5");
    let mut db = damage(&cluster, db);
    db.run("select herald.resume('shop')");
    db.settle();
    db.until_dead("poison");
    assert_eq!(
        types(&receiver),
        ["after.1", "after.2", "before.1", "before.2"]
    );
    assert_eq!(receiver.total(), 4, "each once");
}
