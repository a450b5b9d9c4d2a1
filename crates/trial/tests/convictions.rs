//! Events that kill the worker's main thread: the second death convicts the event, which costs only itself.

mod common;

use std::fs;

use common::{Database, SOON, receiver_with, subscribed, text_at, types};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode};
use nix::sys::signal::Signal;

/// Offsets in words of `pg_stat_tmp/pg_herald_<oid>`: the note of the main thread, and the number of the event in it.
const MAIN_NOTE: usize = 16 + 4 * 2_048;
const MAIN_EVENT: usize = MAIN_NOTE + 2;

/// Makes the worker crash when a row of `table` meets `condition`.
fn kill_at(db: &mut Database, table: &str, condition: &str) {
    db.run(&format!(
        "create function kill_worker() returns trigger language plpgsql as $$
         begin
             if (select backend_type from pg_stat_activity where pid = pg_backend_pid()) = 'pg_herald worker'
                and ({condition}) then
                 execute format('copy (select 1) to program %L', 'kill -SEGV ' || pg_backend_pid());
             end if;
             return new;
         end $$;
         create trigger kill_worker before insert on {table} for each row execute function kill_worker()"
    ));
}

/// Waits for the worker's death, and until the server is back.
fn until_dead_and_back(cluster: &Cluster, db: &mut Database) {
    eventually(SOON, "the end of all sessions", || {
        db.simple_query("").err()
    });
    cluster.wait_until_ready().expect("the server is back");
    *db = Database::of(cluster, &db.name);
}

#[test]
fn a_delivery_whose_record_kills_the_worker_is_a_dead_letter_after_the_second_death() {
    let cluster = common::cluster();
    let (receiver, mut db) = subscribed(&cluster, "record", "");
    let type_of =
        "select e.type from herald.event e where e.slot = new.event_slot and e.seq = new.event_seq";
    kill_at(
        &mut db,
        "herald_internal.attempt",
        &format!("({type_of}) = 'bad'"),
    );
    db.run("select herald.emit(t) from unnest('{order.1,bad,order.2}'::text[]) t");
    until_dead_and_back(&cluster, &mut db);
    until_dead_and_back(&cluster, &mut db);
    db.until(
        "select detail ~ '2 times in a row.* in the step \"record outcomes\".*event [0-9a-f-]{36} to subscription \"shop\"'
         from herald.doctor() where \"check\" = 'death'",
        "true",
    );
    db.run("select herald.start_worker()");
    db.settle();
    // The worker tried to record it twice, each time after a request.
    let requests = receiver.requests();
    let requests_of = |wanted: &str| {
        let types = requests.iter().map(|request| text_at(request, "/type"));
        types.filter(|sent| sent == wanted).count()
    };
    assert_eq!(requests_of("bad"), 2);
    assert_eq!(types(&receiver), ["bad", "order.1", "order.2"]);
    assert_eq!(
        db.text("select string_agg(type || ' ' || reason, ', ') from herald.dead_letter"),
        "bad poison"
    );
}

#[test]
fn an_event_whose_burial_kills_the_worker_is_buried_without_its_data() {
    let cluster = common::cluster();
    let gone = receiver_with(Mode::status(410));
    let mut db = Database::subscribed(&cluster, "burial", &gone, "max_concurrency => 1");
    kill_at(
        &mut db,
        "herald_internal.dead_letter",
        "new.type = 'bad' and new.event::jsonb ? 'data'",
    );
    db.run("select herald.emit(t, '{\"n\": 1}') from unnest('{order.1,bad,order.2}'::text[]) t");
    until_dead_and_back(&cluster, &mut db);
    until_dead_and_back(&cluster, &mut db);
    db.run("select herald.start_worker()");
    db.until("select count(*) from herald.dead_letter", "3");
    assert_eq!(
        db.text(
            "select string_agg(format('%s %s', type, event::jsonb -> 'data'), ', ' order by event_seq)
             from herald.dead_letter"
        ),
        "order.1 {\"n\": 1}, bad , order.2 {\"n\": 1}"
    );
    // Redelivered by hand, it is a delivery like others, with its data.
    gone.set_mode(Mode::ok());
    db.run("select herald.resume('shop'); select herald.redeliver_dead_letters('shop')");
    db.settle();
    assert_eq!(types(&gone), ["bad", "order.1", "order.2"]);
    assert_eq!(gone.accepted(), 3);
}

#[test]
fn an_event_whose_reading_kills_the_worker_is_a_dead_letter_and_those_around_it_are_read() {
    let cluster = common::cluster();
    let (receiver, mut db) = subscribed(&cluster, "reading", "");
    cluster.set("herald.enabled", "off").expect("a setting");
    db.until("select current_setting('herald.enabled')", "off");
    db.emit("order.1");
    db.run(
        "select herald.emit('bad', to_jsonb(string_agg(md5(n::text), '')))
         from generate_series(1, 5000) n",
    );
    db.emit("order.2");
    for _ in 0..2 {
        die_of_reading_bad(&cluster, &mut db);
    }
    db.until(
        "select detail ~ '2 times in a row.* in the step \"read the log\".*event [0-9a-f-]{36}$|;'
         from herald.doctor() where \"check\" = 'death'",
        "true",
    );
    cluster.set("herald.enabled", "on").expect("a setting");
    db.run("select herald.start_worker()");
    db.settle();
    assert_eq!(types(&receiver), ["order.1", "order.2"]);
    assert_eq!(
        db.text("select string_agg(type || ' ' || reason, ', ') from herald.dead_letter"),
        "bad poison"
    );
    // Its data can be read, and redelivered by hand it is a delivery like others.
    db.run("select herald.redeliver_dead_letters('shop')");
    receiver.wait_for(3, SOON);
    db.settle();
}

/// Crashes the worker while it reads the data of the event `bad`: a lock on the index of the data's TOAST table keeps
/// it there. Leaves `herald.enabled` off.
fn die_of_reading_bad(cluster: &Cluster, db: &mut Database) {
    let mut reindexing = db.session(cluster);
    let stored_in = db.text(
        "select c.reltoastrelid::regclass from herald.event e join pg_class c on c.oid = e.tableoid
         where e.type = 'bad'",
    );
    let bad = db.number("select seq from herald.event where type = 'bad'");
    reindexing.run(&format!("begin; reindex table {stored_in}"));
    cluster.set("herald.enabled", "on").expect("a setting");
    let worker = eventually(SOON, "a worker", || cluster.worker_pid(&db.name).ok()?);
    let file = format!(
        "pg_stat_tmp/pg_herald_{}",
        db.number("select oid from pg_database where datname = current_database()")
    );
    let file = cluster.data_dir().join(file);
    eventually(SOON, "the worker at this event", || {
        cluster.signal(worker, Signal::SIGSTOP).expect("a stop");
        let bytes = fs::read(&file).expect("the file of the worker's life");
        let word = |at: usize| {
            let bytes = bytes[8 * at..][..8].try_into().expect("eight bytes");
            i64::from_ne_bytes(bytes)
        };
        let is_there = word(MAIN_NOTE) == 1 && word(MAIN_EVENT) == bad;
        if is_there {
            cluster.set("herald.enabled", "off").expect("a setting");
            cluster.signal(worker, Signal::SIGSEGV).expect("a crash");
        }
        cluster.signal(worker, Signal::SIGCONT).expect("a signal");
        is_there.then_some(())
    });
    until_dead_and_back(cluster, db);
}
