//! The two dispatches against each other, and both against the expected result: the same programs, subscriptions and
//! failures, once by windows and once with everything sent through the pending deliveries.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Database, receiver_with_receipts};
use herald_trial::receiver::Answer;
use herald_trial::workload::{committed_changes, insert_change};
use herald_trial::{Change, Cluster, Mode, Receipts, Receiver, Verdict, Workload, at_size, figure};

const SEED: u64 = 19;
const CLIENTS: i32 = 8;
/// For the subscription whose deliveries all fail a few times, and some for good.
const MOST_ATTEMPTS: i64 = 3;

#[test]
fn the_queue_dispatch_delivers_the_same_as_windows_do() {
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("herald.sender_threads", "16")
        .setting("herald.poll_interval", "200ms")
        // The view of deliveries covers all slots, which nobody has analyzed: compiling it takes seconds.
        .setting("jit", "off")
        .start()
        .expect("a cluster");
    let (windows, queue) = (
        Side::start(&cluster, "window"),
        Side::start(&cluster, "queue"),
    );
    let (windows, queue) = (windows.finish(), queue.finish());

    figure("seed", SEED);
    figure("events", windows.committed.len());
    figure("deliveries", windows.deliveries.len());
    let dead = windows
        .deliveries
        .iter()
        .filter(|delivery| delivery.state.starts_with("dead"));
    figure("dead", dead.count());
    assert!(windows.committed == queue.committed);
    assert_eq!(difference(&windows.deliveries, &queue.deliveries), [[], []]);
    let expected = windows
        .committed
        .iter()
        .flat_map(|change| expected(*change))
        .collect();
    assert_eq!(difference(&windows.deliveries, &expected), [[], []]);
    figure("differences", 0);
    // Otherwise, both used the same dispatch.
    assert_eq!(queue.spilled, queue.deliveries.len() as i64);
    assert!(windows.spilled < queue.spilled);
}

/// The end of an event for a subscription, ordered for comparison in sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Delivery {
    subscription: String,
    change: Change,
    state: String,
    attempts: i64,
}

/// The kinds of events: a captured row, and emitted ones that differ in type, tenant and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Captured,
    Paid,
    Acme,
    Huge,
    Invoice,
}

fn kind(change: Change) -> Kind {
    match change.seq % 5 {
        0 => Kind::Paid,
        1 => Kind::Acme,
        2 => Kind::Huge,
        3 => Kind::Invoice,
        _ => Kind::Captured,
    }
}

fn write(change: Change) -> String {
    let Change { client, seq } = change;
    let emit = |event_type: &str, words: usize, more: &str| {
        format!(
            "select herald.emit('{event_type}', jsonb_build_object('record', jsonb_build_object(
                 'client', {client}, 'seq', {seq}, 'note', repeat('x', {words}))){more})"
        )
    };
    match kind(change) {
        Kind::Captured => insert_change(change),
        Kind::Paid => emit("order.paid", 1, ""),
        Kind::Acme => emit("order.paid", 1, ", tenant => 'acme'"),
        Kind::Huge => emit("order.huge", 3_000, ", tenant => 'other'"),
        Kind::Invoice => emit("invoice.sent", 1, ""),
    }
}

/// Name, options, and the result for an event: none if it does not match.
type Rule = fn(Change) -> Option<(&'static str, i64)>;
const SUBSCRIPTIONS: [(&str, &str, Rule); 5] = [
    ("all", "max_concurrency => 4", |_| Some(("delivered", 1))),
    ("orders", "types => '{order.*}'", |change| {
        is_order(change).then_some(("delivered", 1))
    }),
    ("acme", "tenant => 'acme'", |change| {
        (kind(change) == Kind::Acme).then_some(("delivered", 1))
    }),
    (
        "small",
        "types => '{order.*}', max_payload => 2000",
        |change| {
            let end = match kind(change) {
                Kind::Huge => ("dead too_large", 1),
                _ => ("delivered", 1),
            };
            is_order(change).then_some(end)
        },
    ),
    (
        "failing",
        "retry_schedule => '{20 ms, 20 ms}', retry_jitter => 0",
        |change| match failures(change) {
            MOST_ATTEMPTS.. => Some(("dead exhausted", MOST_ATTEMPTS)),
            failures => Some(("delivered", failures + 1)),
        },
    ),
];

fn is_order(change: Change) -> bool {
    matches!(kind(change), Kind::Paid | Kind::Acme | Kind::Huge)
}

/// Returns how often the subscription `failing` is answered 500 before 200.
fn failures(change: Change) -> i64 {
    (change.seq / 5 + i64::from(change.client)) % (MOST_ATTEMPTS + 2)
}

fn expected(change: Change) -> impl Iterator<Item = Delivery> {
    SUBSCRIPTIONS.iter().filter_map(move |(name, _, rule)| {
        let (state, attempts) = rule(change)?;
        Some(Delivery {
            subscription: (*name).to_owned(),
            change,
            state: state.to_owned(),
            attempts,
        })
    })
}

/// Returns what each side has that the other lacks, at most five of each; nothing if both are equal.
fn difference(left: &BTreeSet<Delivery>, right: &BTreeSet<Delivery>) -> [Vec<Delivery>; 2] {
    [(left, right), (right, left)]
        .map(|(side, other)| side.difference(other).take(5).cloned().collect())
}

struct Side {
    db: Database,
    endpoints: Vec<(&'static str, Receiver, Receipts)>,
}

struct Outcome {
    committed: BTreeSet<Change>,
    deliveries: BTreeSet<Delivery>,
    spilled: i64,
}

impl Side {
    /// Commits everything before it returns.
    fn start(cluster: &Cluster, dispatch: &str) -> Self {
        let name = format!("by_{dispatch}");
        let mut db = Database::new(cluster, &name);
        db.run(&format!(
            "alter database {name} set herald.dispatch = '{dispatch}'"
        ));
        // In a separate transaction: a new worker sees only what is committed.
        db.run("select herald.restart_worker()");
        db.run(
            "create table spilled (subscription_id bigint, event_seq bigint);
             create function note_spilled() returns trigger language plpgsql as $$ begin
                 insert into public.spilled values (new.subscription_id, new.event_seq);
                 return null;
             end $$;
             create trigger note_spilled after insert on herald.pending for each row execute function note_spilled()",
        );
        let workload = Workload::prepare(cluster, &name).expect("tables");
        db.run("select herald.watch('trial.change')");
        let endpoints = SUBSCRIPTIONS.map(|(name, options, _)| {
            let (receiver, receipts) = receiver_with_receipts(if name == "failing" {
                fail_a_few_times()
            } else {
                Mode::ok()
            });
            db.subscribe(name, &receiver, options);
            (name, receiver, receipts)
        });
        let tally = workload
            .clients(CLIENTS)
            .transactions(at_size(40, 780))
            .seed(SEED)
            .change(write)
            .run()
            .expect("the programs run");
        assert!(tally.rolled_back > 40, "{tally:?}");
        let endpoints = endpoints.into();
        Self { db, endpoints }
    }

    fn finish(mut self) -> Outcome {
        let db = &mut self.db;
        db.settle_within(at_size(Duration::from_secs(20), Duration::from_secs(300)));
        let rows = db
            .query(
                "select d.subscription, (e.data #>> '{record,client}')::int, (e.data #>> '{record,seq}')::bigint,
                        d.state || coalesce(' ' || l.reason, ''), d.attempts::bigint
                 from herald.delivery d
                 join herald.event e on e.seq = split_part(d.delivery_id, '/', 2)::bigint
                 left join herald.dead_letter l on (l.subscription, l.event_seq) = (d.subscription, e.seq)",
                &[],
            )
            .expect("the deliveries");
        let deliveries: BTreeSet<Delivery> = rows
            .iter()
            .map(|row| Delivery {
                subscription: row.get(0),
                change: Change {
                    client: row.get(1),
                    seq: row.get(2),
                },
                state: row.get(3),
                attempts: row.get(4),
            })
            .collect();
        assert_eq!(rows.len(), deliveries.len(), "a delivery is there twice");
        let committed = committed_changes(db).expect("the truth");
        for (name, receiver, receipts) in &self.endpoints {
            let with_state = |state: &str| -> BTreeSet<Change> {
                let of_state = deliveries.iter().filter(|delivery| {
                    delivery.subscription == *name && delivery.state.starts_with(state)
                });
                of_state.map(|delivery| delivery.change).collect()
            };
            // Events answered 500 for good were received, too.
            let dead = with_state("dead exhausted");
            let due = &with_state("delivered") | &dead;
            let verdict = Verdict::with_excused(&due, receipts, &dead);
            assert!(
                verdict.is_clean() && verdict.duplicates == 0,
                "{name}: {verdict}"
            );
            assert_eq!(verdict.accepted + dead.len(), due.len(), "{name}");
            assert_eq!(receiver.invalid_signatures(), 0);
        }
        assert_eq!(db.count("herald.pending"), 0);
        let spilled = "select count(distinct (subscription_id, event_seq)) from spilled";
        Outcome {
            committed,
            deliveries,
            spilled: db.number(spilled),
        }
    }
}

fn fail_a_few_times() -> Mode {
    Mode::answer_with(|request| {
        let failures = Change::in_request(request).map_or(0, failures);
        Answer::new(if i64::from(request.attempt) <= failures {
            500
        } else {
            200
        })
    })
}
