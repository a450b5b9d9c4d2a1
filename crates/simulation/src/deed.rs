//! Deeds: what happens to a database, its worker and its receivers; a schedule is a list of them.

use herald_core::subscription::breaker::BreakerPolicy;
use herald_core::subscription::ordering::Ordering;
use herald_dispatch::failure::Fault;
use herald_dispatch::store::Point;

use crate::database::{Durability, SessionId};

/// A deed, `gap` microseconds after the step before.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its place in the whole schedule, which it keeps when other steps are left out.
    pub number: u64,
    pub gap: i64,
    pub when: When,
    pub deed: Deed,
}

/// When exactly a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Then,
    /// In the next look at the log, after reading the last number and the next id, and before taking the snapshot.
    BeforeSnapshot,
    /// In the next look, after taking the snapshot, and before reading.
    AfterSnapshot,
}

/// Subscriptions and receivers have the same ids. A deed does nothing if its target does not exist.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Writes events in the session's open transaction, and begins it if necessary.
    Emit {
        session: SessionId,
        kind: Kind,
        count: u16,
    },
    /// Rolls back the last events of the open transaction to a savepoint.
    RollBackTo {
        session: SessionId,
        count: u16,
    },
    Commit {
        session: SessionId,
        durability: Durability,
    },
    RollBack {
        session: SessionId,
    },
    Prepare {
        session: SessionId,
    },
    EndPrepared {
        is_commit: bool,
    },
    Subscribe {
        session: SessionId,
        id: i64,
        wish: Wish,
    },
    Unsubscribe {
        id: i64,
    },
    Pause {
        id: i64,
    },
    Resume {
        id: i64,
    },
    ChangeUrl {
        id: i64,
    },
    ChangeConcurrency {
        id: i64,
        most: i32,
    },
    /// Redelivers some of its last events, whatever became of them.
    Redeliver {
        id: i64,
        last: usize,
    },
    Replay {
        id: i64,
        last: usize,
    },
    Discard {
        id: i64,
    },
    Mood {
        id: i64,
        mood: Mood,
    },
    /// Makes statements of a kind fail for a while.
    Trouble {
        with: Statement,
        fault: Fault,
        lasts: i64,
    },
    /// Makes all statements take longer for a while.
    Slowness {
        times: i64,
        lasts: i64,
    },
    /// Makes another session lock the first pending deliveries.
    Lock {
        id: i64,
        count: usize,
        lasts: i64,
    },
    /// Crashes the server; this fraction of what was not flushed survives.
    Crash {
        found: f64,
        down_for: i64,
    },
    /// The same, when the worker next reaches this point.
    CrashAt {
        point: Point,
        found: f64,
        down_for: i64,
    },
    /// Tells the worker to stop; another worker starts.
    Stop {
        down_for: i64,
    },
    SetClock {
        by: i64,
    },
    SetQuota {
        tenant: u8,
        quota: QuotaWish,
    },
    /// Sets `herald.enabled` and `herald.dispatch`.
    Settings {
        is_enabled: bool,
        always_pending: bool,
    },
}

/// The kind of an event.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub r#type: u8,
    pub tenant: Option<u8>,
    pub bytes: usize,
}

/// The options of a new subscription.
#[derive(Debug, Clone)]
pub struct Wish {
    pub wants: Option<u8>,
    pub tenant: Option<u8>,
    pub max_concurrency: i32,
    pub max_attempts: Option<i32>,
    /// In microseconds.
    pub retry_schedule: Vec<i64>,
    pub timeout: i64,
    pub max_backlog: Option<i64>,
    pub max_age: Option<i64>,
    /// The rate that its receiver consented to, per minute.
    pub rate: Option<u32>,
    /// Its own, per second.
    pub rate_limit: Option<u32>,
    pub breaker: Option<BreakerPolicy>,
    pub ordering: Option<Ordering>,
    pub survives_gone: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct QuotaWish {
    pub events: Option<i64>,
    pub connections: Option<usize>,
    /// Per second.
    pub rate_limit: Option<u32>,
    pub is_blocked: bool,
}

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    /// It takes requests within this many microseconds.
    Healthy(i64),
    /// It takes requests after this many microseconds, or down to half as many.
    Slow(i64),
    /// It does not answer until the timeout.
    Hangs,
    /// It resets connections.
    Resets,
    Answers(u16),
    /// It answers with this status, and asks for a delay of this many seconds.
    Spares(u16, u32),
    /// It answers 500 to this fraction of the requests.
    Flaky(f64),
    /// It takes requests, and this fraction of its answers is lost.
    LosesAnswers(f64),
    /// This server lacks a resource to send.
    Shortage,
    /// The worker dies of sending it some events: those that are [`deadly`].
    Kills,
}

/// The kinds of the store's statements, which fail separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statement {
    Glimpse,
    Claim,
    Record,
    Forget,
    Disable,
    Bury,
    Shed,
    House,
    Configuration,
    Report,
}

/// Returns whether the worker dies of sending this event to a receiver that kills.
pub fn deadly(uid: u64) -> bool {
    uid.is_multiple_of(7)
}
