//! Receivers from hell: whatever an endpoint does, its attempt ends in time, is recorded in the right words, and costs
//! the worker nothing.

#[path = "hell/answers.rs"]
mod answers;
mod common;
#[path = "hell/connections.rs"]
mod connections;
#[path = "hell/row.rs"]
mod row;

use std::collections::BTreeMap;

use common::process::holdings;
use common::{Database, SOON, cluster_with, receiver};
use herald_trial::receiver::Authority;
use herald_trial::wait::eventually_holds;
use herald_trial::{at_size, figure};
use row::{Row, SCHEDULED};

const TIMEOUT_MS: f32 = 2_000.0;
/// Slack for a busy machine. The delays under test are much longer.
const EPSILON_MS: f32 = 1_000.0;
/// How much of a response is kept, in bytes.
const EXCERPT: i32 = 8 * 1024;
const GROWTH_KB: u64 = 50_000;

#[test]
fn each_endpoint_from_hell_ends_in_its_own_words_and_costs_the_worker_nothing() {
    let authority = Authority::new().expect("an authority");
    let cluster = cluster_with(&[
        ("jit", "off"),
        ("herald.ca_file", &authority.ca_file().display().to_string()),
    ]);
    let mut db = Database::new(&cluster, "hell");
    let worker = warmed_up_worker(&mut db);
    let canary = receiver();
    let mut rows = connections::slow();
    rows.extend(connections::broken());
    rows.extend(answers::bodies());
    rows.extend(answers::redirects(&canary));
    rows.extend(answers::retry_after(&mut db));
    rows.extend(connections::tls(&authority));
    for row in &rows {
        let retry = match row.waits {
            Some(_) => format!("retry_schedule => '{{{SCHEDULED} s}}', retry_jitter => 0"),
            None => "max_attempts => 1".to_owned(),
        };
        let options = format!("timeout => '2 s', types => '{{hell}}', {retry}");
        db.subscribe_at(&row.name, &row.url, &options);
    }
    let before = holdings(worker);
    for round in 1..=at_size(1, 20) {
        db.emit("hell");
        until_tried(&mut db, &rows, round);
    }

    let records = Record::of_all(&mut db);
    let mut faults = Vec::new();
    for row in &rows {
        let record = &records[&row.name];
        figure(&row.name, record);
        faults.extend(record.faults(row));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(canary.connections(), 0, "a redirect was followed");
    let rounds = at_size(1, 20);
    let looped = rows.iter().find(|row| row.name == "a_redirect_to_itself");
    assert_eq!(looped.and_then(Row::requests), Some(rounds));

    assert_eq!(
        db.text("select herald_internal.worker_pid()"),
        worker.to_string()
    );
    let after = eventually_holds(
        SOON,
        "no more threads and sockets than before",
        || holdings(worker),
        |after| after.threads == before.threads && after.sockets <= before.sockets,
    );
    let growth = after.anonymous_kb.saturating_sub(before.anonymous_kb);
    figure("endpoints from hell", rows.len());
    figure("worker's growth in anonymous memory, kB", growth);
    assert!(growth < GROWTH_KB, "{before:?} grew to {after:?}");
}

/// Returns the worker, after a delivery that makes it load all that it needs.
fn warmed_up_worker(db: &mut Database) -> i32 {
    let receiver = receiver();
    db.subscribe("healthy", &receiver, "types => '{healthy}'");
    db.emit("healthy");
    db.settle();
    let worker = db.number("select herald_internal.worker_pid()");
    worker.try_into().expect("a process id")
}

/// Waits until each endpoint has got `rounds` events. Endpoints that said when to come again got only the first.
fn until_tried(db: &mut Database, rows: &[Row], rounds: usize) {
    let patient = rows.iter().filter(|row| row.waits.is_some()).count();
    db.until(
        "select count(*) from herald.attempt where type = 'hell' and subscription not like 'retry_after%'",
        &((rows.len() - patient) * rounds).to_string(),
    );
    db.until(
        "select count(distinct subscription) from herald.attempt where type = 'hell' and subscription like 'retry_after%'",
        &patient.to_string(),
    );
}

/// Everything recorded about one endpoint.
struct Record {
    /// Each distinct state, status and error class.
    outcomes: String,
    /// Each distinct error, or the beginning of the response if there was no error.
    words: String,
    attempts: i64,
    longest_ms: f32,
    longest_response: i32,
    is_clean: bool,
    /// The longest time in seconds from an attempt to the next, if any.
    waits: f64,
}

impl Record {
    /// Reads all records, by subscription name.
    fn of_all(db: &mut Database) -> BTreeMap<String, Self> {
        let sql = r"
            select
                a.subscription,
                string_agg(distinct format('%s %s %s', d.state, coalesce(a.status_code::text, '-'), coalesce(a.error_class, '-')), '; '),
                string_agg(distinct coalesce(a.error, left(a.response, 40), ''), '; '),
                count(*),
                max(a.duration_ms),
                coalesce(max(octet_length(a.response)), 0),
                coalesce(bool_and(a.response !~ '[\u0001-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]'), true),
                coalesce(max(extract(epoch from d.next_attempt_at - a.at)), 0)::float8
            from herald.attempt a
            join herald.delivery d on d.delivery_id = format('%s/%s', a.subscription_id, a.event_seq)
            group by a.subscription";
        let found = db.query(sql, &[]).expect("the records");
        let records = found.into_iter().map(|row| {
            let record = Self {
                outcomes: row.get(1),
                words: row.get(2),
                attempts: row.get(3),
                longest_ms: row.get(4),
                longest_response: row.get(5),
                is_clean: row.get(6),
                waits: row.get(7),
            };
            (row.get(0), record)
        });
        records.collect()
    }

    /// Returns how the record differs from what it should be.
    fn faults(&self, row: &Row) -> Vec<String> {
        let waits = row.waits.unwrap_or_default() as f64;
        let checks = [
            ("outcome", self.outcomes == row.recorded),
            ("words", self.words.contains(row.words)),
            ("duration", self.longest_ms <= TIMEOUT_MS + EPSILON_MS),
            ("length", self.longest_response <= EXCERPT),
            ("characters", self.is_clean),
            ("wait", (self.waits - waits).abs() < 120.0),
        ];
        let wrong = checks.into_iter().filter(|(_, is_right)| !is_right);
        wrong
            .map(|(what, _)| {
                format!(
                    "{}: {what}: {self}; expected {}: {}",
                    row.name, row.recorded, row.words
                )
            })
            .collect()
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            outcomes,
            words,
            attempts,
            longest_ms,
            longest_response,
            waits,
            ..
        } = self;
        let waits = if *waits > 0.0 {
            format!(", next in {waits:.0} s")
        } else {
            String::new()
        };
        write!(
            f,
            "{outcomes} ({words:?}), {attempts} attempts of at most {longest_ms:.0} ms, {longest_response} bytes kept{waits}"
        )
    }
}
