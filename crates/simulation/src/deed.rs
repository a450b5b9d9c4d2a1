//! What happens to a database, its worker and its receivers: a schedule is a list of these.

use herald_dispatch::failure::Fault;
use herald_dispatch::store::Point;

use crate::database::{Durability, SessionId};

/// One thing that happens, so long after the one before.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its place in the whole schedule, which it keeps when others are left out.
    pub number: u64,
    pub gap: i64,
    pub when: When,
    pub deed: Deed,
}

/// When exactly a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Then,
    /// In the next look at the log, after the last number and the next id were read, and before its snapshot is taken.
    BeforeSnapshot,
    /// After its snapshot was taken, and before it looks.
    AfterSnapshot,
}

/// Subscriptions and receivers have the same ids. Whatever is not there makes a deed do nothing.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Events in the open transaction of a session, which is begun if there is none.
    Emit {
        session: SessionId,
        kind: Kind,
        count: u16,
    },
    /// The last events of the open transaction are rolled back to a savepoint.
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
    /// Some of its last events, whatever became of them.
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
    /// Statements of a kind fail for a while.
    Trouble {
        with: Statement,
        fault: Fault,
        lasts: i64,
    },
    /// All statements take longer for a while.
    Slowness {
        times: i64,
        lasts: i64,
    },
    /// Another session locks some of what is pending, the first ones.
    Lock {
        id: i64,
        count: usize,
        lasts: i64,
    },
    /// The server crashes, and finds this part of what was not flushed.
    Crash {
        found: f64,
        down_for: i64,
    },
    /// The same when the worker reaches this place once more.
    CrashAt {
        point: Point,
        found: f64,
        down_for: i64,
    },
    /// The worker is told to stop, and another one starts.
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
    /// `herald.enabled`, and `herald.dispatch`.
    Settings {
        is_enabled: bool,
        always_pending: bool,
    },
}

/// What an event is like.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub r#type: u8,
    pub tenant: Option<u8>,
    pub bytes: usize,
}

/// A subscription as somebody wants it.
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
    pub rate: Option<u32>,
    pub survives_gone: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct QuotaWish {
    pub events: Option<i64>,
    pub connections: Option<usize>,
    pub is_blocked: bool,
}

/// How a receiver fares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mood {
    /// It takes what comes, within so many microseconds.
    Healthy(i64),
    /// It takes what comes after more than a second.
    Slow(i64),
    /// It answers nothing, until the timeout.
    Hangs,
    /// It resets connections.
    Resets,
    Answers(u16),
    /// It answers with this status, and asks to be spared for so many seconds.
    Spares(u16, u32),
    /// It answers 500 to this part of the requests.
    Flaky(f64),
    /// It takes what comes, and this part of its answers is lost.
    LosesAnswers(f64),
    /// Something of our own is short.
    Shortage,
    /// The worker dies of sending it some of the events: those that are [`deadly`].
    Kills,
}

/// The store's statements, by what can be wrong with them.
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

/// Whether the worker dies of sending this event where it can.
pub fn deadly(uid: u64) -> bool {
    uid.is_multiple_of(7)
}
