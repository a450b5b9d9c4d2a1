//! Options of the flow of deliveries, two at a time: each keeps its own promise.

mod common;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::thread;

use common::{Database, receiver_with, text_at};
use herald_trial::{Cluster, Mode, Receiver};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

const PAGE: &str = include_str!("../../../docs/flow.md");

/// How many events of how many keys each pair gets.
const EVENTS: usize = 40;
const KEYS: usize = 5;

/// An option, what a subscription says for it, and what must hold in the end.
struct Choice {
    name: &'static str,
    says: &'static str,
    holds: fn(&Receiver),
}

const CHOICES: [Choice; 8] = [
    Choice {
        name: "ordering",
        says: "ordering => 'key'",
        holds: keys_are_in_order,
    },
    Choice {
        name: "rate_limit",
        says: "rate_limit => '40/s'",
        holds: no_second_has_over_fifty,
    },
    Choice {
        name: "breaker",
        says: r#"breaker => '{"failures": 3, "ratio": 0.2, "probe": "1 s"}'"#,
        holds: |_| {},
    },
    Choice {
        name: "active_hours",
        says: r#"active_hours => '{"days": {"mon-sun": "00:00-24:00"}}'"#,
        holds: |_| {},
    },
    Choice {
        name: "deliver_at",
        says: "",
        holds: |_| {},
    },
    Choice {
        name: "max_concurrency",
        says: "max_concurrency => 2",
        holds: |_| {},
    },
    Choice {
        name: "max_age",
        says: "max_age => '1 h'",
        holds: |_| {},
    },
    Choice {
        name: "max_backlog",
        says: "max_backlog => 1000",
        holds: |_| {},
    },
];

/// Returns the numbers of the events, in the order of their first successful receipts.
fn receipts(receiver: &Receiver) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let requests = receiver.requests();
    let accepted = requests.iter().filter(|request| request.accepted);
    let numbers = accepted.map(|request| text_at(request, "/type").parse().expect("a number"));
    numbers.filter(|number| seen.insert(*number)).collect()
}

fn keys_are_in_order(receiver: &Receiver) {
    let receipts = receipts(receiver);
    for key in 0..KEYS {
        let of_key: Vec<&usize> = receipts.iter().filter(|it| *it % KEYS == key).collect();
        assert!(of_key.is_sorted(), "key {key}: {of_key:?}");
    }
}

fn no_second_has_over_fifty(receiver: &Receiver) {
    let arrivals: Vec<i64> = receiver.requests().iter().map(|it| it.at_micros).collect();
    for from in &arrivals {
        let within = arrivals
            .iter()
            .filter(|at| (*from..from + 1_000_000).contains(at));
        assert!(within.count() <= 50, "{arrivals:?}");
    }
}

/// Subscribes with two options, and lets a shaky receiver get some events.
fn play(db: &mut Database, pair: &[&Choice]) {
    let shaky = receiver_with(Mode::flaky_together(1, 5));
    let name = format!("{}_{}", pair[0].name, pair[1].name);
    let said = pair
        .iter()
        .map(|it| it.says)
        .filter(|says| !says.is_empty());
    let options = said
        .chain([
            "retry_schedule => array_fill(interval '50 ms', array[100])",
            "retry_jitter => 0",
        ])
        .collect::<Vec<_>>()
        .join(", ");
    db.subscribe(&name, &shaky, &format!("tenant => '{name}', {options}"));
    let is_scheduled = pair.iter().any(|it| it.name == "deliver_at");
    let at = match is_scheduled {
        true => ", deliver_at => clock_timestamp() + interval '300 ms'",
        false => "",
    };
    db.run(&format!(
        "select herald.emit(n::text, '{{}}', key => (n % {KEYS})::text, tenant => '{name}'{at})
         from generate_series(1, {EVENTS}) n"
    ));
    db.until(
        &format!("select count(*) from herald.delivery where subscription = '{name}' and state = 'delivered'"),
        &EVENTS.to_string(),
    );
    assert_eq!(receipts(&shaky).len(), EVENTS, "{name}");
    // What is scheduled follows nothing.
    let promises = pair
        .iter()
        .filter(|it| !is_scheduled || it.name != "ordering");
    promises.for_each(|it| (it.holds)(&shaky));
}

#[test]
fn every_pair_of_the_table_keeps_both_promises() {
    let rows: Vec<[&str; 2]> = PAGE
        .lines()
        .skip_while(|line| *line != "## How they combine")
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split("` | `");
            let first = cells.next()?;
            let second = cells.next()?.split('`').next()?;
            Some([first, second])
        })
        .collect();
    let pairs: Vec<[&Choice; 2]> = (0..CHOICES.len())
        .flat_map(|first| {
            (first + 1..CHOICES.len()).map(move |second| [&CHOICES[first], &CHOICES[second]])
        })
        .collect();
    let told: Vec<[&str; 2]> = pairs.iter().map(|pair| pair.map(|it| it.name)).collect();
    assert_eq!(rows, told);
    // Some at once: most of the time, they wait.
    thread::scope(|scope| {
        for (number, part) in pairs.chunks(7).enumerate() {
            scope.spawn(move || {
                let mut db = Database::new(&CLUSTER, &format!("part{number}"));
                for pair in part {
                    play(&mut db, pair);
                }
            });
        }
    });
}
