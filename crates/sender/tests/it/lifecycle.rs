//! Threads, wake-ups, panics and the end of the sender. No work is ever lost.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use herald_core::attempt::outcome::{ErrorClass, Outcome};
use herald_core::request::HttpRequest;
use herald_sender::{AgentKey, Prepare, Sender};

use crate::support::*;

#[test]
fn a_panic_in_prepare_is_an_outcome_and_the_thread_lives_on() {
    let endpoint = Endpoint::answering(OK);
    let mut settings = settings();
    settings.threads = 1;
    let pool = Pool::start(settings);
    let panicking = || -> Result<HttpRequest, Outcome> { panic!("a bug in a template") };
    let outcome = pool.attempt(Work::new(panicking));
    assert_eq!(class(&outcome), Some(ErrorClass::Internal));
    assert_eq!(
        words(&outcome),
        "internal: the sender panicked: a bug in a template"
    );
    assert!(pool.attempt(request(&endpoint.url())).is_success());
}

#[test]
fn what_prepare_refuses_is_the_outcome() {
    let pool = Pool::start(settings());
    let outcome = pool.attempt(Work::new(|| {
        Err(Outcome::failed(
            ErrorClass::TooLarge,
            "300 kB",
            Duration::ZERO,
        ))
    }));
    assert!(outcome.is_too_large());
}

#[test]
fn every_work_comes_back_once() {
    let endpoint = Endpoint::answering(OK);
    let mut settings = settings();
    settings.queue = 1000;
    let pool = Pool::start(settings);
    for number in 0..1000 {
        let mut work = Work::from(request(&endpoint.url()));
        if number % 10 == 0 {
            work = Work::new(|| panic!("now and then"));
        }
        work.number = number;
        pool.sender.send(work).expect("room in the queue");
    }
    let mut numbers: Vec<usize> = pool
        .gather(1000)
        .iter()
        .map(|attempted| attempted.work.number)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    assert_eq!(pool.sender.in_flight(), 0);
}

#[test]
fn a_full_sender_gives_the_work_back() {
    let endpoint = Endpoint::serving(Connection::hang);
    let mut settings = settings();
    (settings.threads, settings.queue) = (2, 1);
    let pool = Pool::start(settings);
    for _ in 0..3 {
        let accepted = pool.sender.send(request(&endpoint.url()).into());
        assert!(accepted.is_ok());
    }
    let mut fourth = Work::from(request(&endpoint.url()));
    fourth.number = 4;
    let refused = pool.sender.send(fourth).expect_err("the sender is full");
    assert_eq!(refused.number, 4);
    assert_eq!(pool.sender.in_flight(), 3);
}

#[test]
fn hanging_requests_do_not_hold_up_the_shutdown() {
    let endpoint = Endpoint::serving(Connection::hang);
    let mut settings = settings();
    (settings.threads, settings.queue) = (64, 10);
    let pool = Pool::start(settings);
    let held = Arc::new(());
    for _ in 0..74 {
        let (held, request) = (Arc::clone(&held), request(&endpoint.url()));
        let work = Work::new(move || {
            let _held = &held;
            Ok(request.clone())
        });
        pool.sender.send(work).expect("room for all");
    }
    wait_until("64 requests hang", || endpoint.connections() == 64);

    let started = Instant::now();
    let leftover = pool.sender.shutdown(started + Duration::from_millis(300));
    assert!(
        started.elapsed() < Duration::from_millis(800),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        (
            leftover.attempted.len(),
            leftover.unsent.len(),
            leftover.abandoned
        ),
        (0, 10, 64)
    );
    drop(leftover);
    // The threads were interrupted, not left to their timeouts of 10 s: they release their works.
    let interrupted = Instant::now();
    wait_until("the threads end", || Arc::strong_count(&held) == 1);
    assert!(interrupted.elapsed() < Duration::from_secs(3));
}

#[test]
fn outcomes_that_arrive_before_the_deadline_are_returned() {
    let endpoint = Endpoint::serving(|connection| {
        connection.read_request();
        std::thread::sleep(Duration::from_millis(200));
        connection.write(OK);
    });
    let pool = Pool::start(settings());
    for _ in 0..4 {
        pool.sender
            .send(request(&endpoint.url()).into())
            .expect("room for four");
    }
    wait_until("four requests wait", || endpoint.requests().len() == 4);
    let leftover = pool
        .sender
        .shutdown(Instant::now() + Duration::from_secs(5));
    assert_eq!((leftover.attempted.len(), leftover.abandoned), (4, 0));
    assert!(
        leftover
            .attempted
            .iter()
            .all(|attempted| attempted.outcome.is_success())
    );
}

#[test]
fn a_closed_sender_accepts_nothing_and_still_gives_outcomes() {
    let endpoint = Endpoint::answering(OK);
    let mut pool = Pool::start(settings());
    pool.sender
        .send(request(&endpoint.url()).into())
        .expect("room for one");
    wait_until("the request is under way", || endpoint.connections() == 1);
    assert!(pool.sender.close().is_empty());
    assert!(pool.sender.send(request(&endpoint.url()).into()).is_err());
    assert_eq!(pool.gather(1).len(), 1);
}

#[test]
fn an_attempt_is_dated_when_a_thread_takes_it() {
    let endpoint = Endpoint::answering(OK);
    let pool = Pool::start(settings());
    pool.sender
        .send(request(&endpoint.url()).into())
        .expect("room for one");
    let attempted = pool.gather(1).remove(0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock after 1970");
    let age = now.as_micros() as i64 - attempted.started_at_unix_micros;
    assert!((0..10_000_000).contains(&age), "{age} us");
}

/// Returns the names of this process's threads, except those of its endpoints.
#[cfg(target_os = "linux")]
fn thread_names() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let mut names: Vec<String> = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("herald-"))
        .collect();
    names.sort();
    names
}

#[test]
#[cfg(target_os = "linux")]
fn all_threads_are_spawned_at_start_and_bear_names() {
    // Other tests have threads of the same names, so this test runs itself again in its own process.
    const ALONE: &str = "HERALD_TEST_ALONE";
    if std::env::var(ALONE).is_err() {
        let status =
            std::process::Command::new(std::env::current_exe().expect("this test's program"))
                .args([
                    "--exact",
                    "lifecycle::all_threads_are_spawned_at_start_and_bear_names",
                ])
                .env(ALONE, "1")
                .status();
        assert!(status.expect("the program runs").success());
        return;
    }
    let count = || {
        std::fs::read_dir("/proc/self/task")
            .map(Iterator::count)
            .unwrap_or(0)
    };
    let mut settings = settings();
    (settings.threads, settings.dns_threads) = (2, 1);
    let endpoint = Endpoint::answering(OK);
    let pool = Pool::start(settings);
    wait_until("the threads bear their names", || {
        thread_names() == ["herald-dns-0", "herald-send-0", "herald-send-1"]
    });
    let before = count();
    let url = format!("http://localhost:{}/", endpoint.address.port());
    assert!(pool.attempt(request(&url)).is_success());
    // The endpoint's own thread for the one connection.
    assert_eq!(count(), before + 1);
}

/// A work whose threads note what they are doing.
struct Noted(Work);

static NOTES: Mutex<Vec<(usize, Option<usize>)>> = Mutex::new(Vec::new());

impl Prepare for Noted {
    fn prepare(&mut self, now_unix: i64) -> Result<HttpRequest, Outcome> {
        self.0.prepare(now_unix)
    }

    fn agent(&self) -> AgentKey {
        self.0.agent()
    }

    fn begun(&self, thread: usize) {
        let mut notes = NOTES.lock().expect("no panic while noting");
        notes.push((thread, Some(self.0.number)));
    }

    fn ended(thread: usize) {
        let mut notes = NOTES.lock().expect("no panic while noting");
        notes.push((thread, None));
    }
}

#[test]
fn a_thread_notes_what_it_begins_and_that_it_ended_also_by_a_panic() {
    let endpoint = Endpoint::answering(OK);
    let mut settings = settings();
    settings.threads = 1;
    let sender = Sender::start(settings, Arc::new(|| {})).expect("the sender starts");
    for number in [7, 8] {
        let mut work = match number {
            7 => Work::from(request(&endpoint.url())),
            _ => Work::new(|| panic!("a bug in a template")),
        };
        work.number = number;
        assert!(sender.send(Noted(work)).is_ok());
        wait_until("the outcome", || sender.outcomes().count() == 1);
    }
    let notes = NOTES.lock().expect("no panic while noting");
    assert_eq!(
        *notes,
        [(0, Some(7)), (0, None), (0, Some(8)), (0, None)],
        "what thread 0 was at"
    );
}
