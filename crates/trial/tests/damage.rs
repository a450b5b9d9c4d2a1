//! Events that cannot be read or buried as they are: each costs itself, and its neighbours are served.

mod common;

use std::sync::LazyLock;

use common::{Database, receiver};
use herald_trial::Cluster;

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
