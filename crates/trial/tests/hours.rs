//! Hours: the times of day at which a receiver wants deliveries.

mod common;

use std::sync::LazyLock;

use common::{Database, receiver};
use herald_trial::Cluster;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Hours of the day after tomorrow, and of every day.
const LATER: &str = "jsonb_build_object('days', jsonb_build_object(
    (array['sun','mon','tue','wed','thu','fri','sat'])[(extract(dow from now() at time zone 'UTC')::int + 2) % 7 + 1], '00:00-24:00'))";
const ALWAYS: &str = r#"'{"days": {"mon-sun": "00:00-24:00"}}'"#;

fn emit(db: &mut Database, count: usize) {
    db.run(&format!(
        "select herald.emit('order', '{{}}') from generate_series(1, {count})"
    ));
}

#[test]
fn what_comes_outside_of_the_hours_is_held_until_they_begin() {
    let (office, all) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "held_hours");
    db.subscribe("office", &office, &format!("active_hours => {LATER}"));
    db.subscribe("all", &all, &format!("active_hours => {ALWAYS}"));
    emit(&mut db, 10);
    db.until("select count(*) from herald.pending", "10");
    assert_eq!((office.total(), all.total()), (0, 10));
    let why = db.text(
        "select distinct blocked_by from herald.event e cross join lateral herald.why(e.uid::text) w where w.subscription = 'office'",
    );
    let begins = db.text("select (date_trunc('day', now() at time zone 'UTC') + interval '2 days') at time zone 'UTC'");
    assert_eq!(why, format!("active_hours: it is held until {begins}"));
    db.run(&format!(
        "update herald.subscription set active_hours = {ALWAYS} where name = 'office'"
    ));
    db.settle();
    assert_eq!(office.total(), 10);
}

#[test]
fn what_is_skipped_outside_of_the_hours_writes_nothing_and_is_not_replayed() {
    let office = receiver();
    let mut db = Database::new(&CLUSTER, "skipped_hours");
    let skip = format!("{LATER} || jsonb_build_object('outside', 'skip')");
    db.subscribe("office", &office, &format!("active_hours => {skip}"));
    emit(&mut db, 5);
    db.settle();
    assert_eq!(office.total(), 0);
    assert_eq!(db.count("herald.attempt") + db.count("herald.pending"), 0);
    assert_eq!(
        db.text(
            "select distinct rule from herald.event e cross join lateral herald.why(e.uid::text) w"
        ),
        "active_hours: the event was recorded outside of them"
    );
    let replay = "select herald.replay('office', now() - interval '1 hour', dry_run => true)";
    assert_eq!(db.number(replay), 0);
    db.run("update herald.subscription set active_hours = null");
    assert_eq!(db.number(replay), 5);
}
