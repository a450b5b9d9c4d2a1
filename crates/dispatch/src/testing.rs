//! Values for tests: a test shows only the fields that it is about.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use herald_core::attempt::outcome::Outcome;
use herald_core::egress::agent::AgentKey;
use herald_core::egress::url_policy::UrlPolicy;
use herald_core::event::Event;
use herald_core::snapshot::Snapshot;
use herald_core::subscription::{Subscription, SubscriptionOptions};

use crate::cleaned::{Cleaned, Part};
use crate::courier::{Courier, Returned};
use crate::ended::{Buried, Ended, Gone};
use crate::failure::Failure;
use crate::lanes::Lanes;
use crate::ledger::MEMORY;
use crate::log::{Before, Logged, Ring, Window};
use crate::mind::{Mind, Settings};
use crate::reader::Reader;
use crate::record::{Attempt, Batch, End, Record};
use crate::report::Report;
use crate::seen::SeenTypes;
use crate::store::{
    Claim, Claims, Configuration, Due, Effort, Parked, Recorded, Released, Store, Took, View,
};
use crate::subscriptions::{Loaded, Since};
use crate::suspects::Suspects;
use crate::tenants::Tenants;
use crate::time::{Moment, Now};
use crate::walk::{Shed, Walk};
use crate::work::{Delivery, Origin, Work};

/// Returns the time this many milliseconds after the start.
pub fn at(millis: u64) -> Now {
    Now::default().after(Duration::from_millis(millis))
}

/// Returns the moment this many milliseconds after the start.
pub fn moment(millis: u64) -> Moment {
    at(millis).moment
}

pub fn subscription(id: i64) -> Arc<Subscription> {
    let options = SubscriptionOptions {
        id,
        types: vec!["*".into()],
        ..SubscriptionOptions::new("shop", "https://example.com/")
    };
    Arc::new(options.compile(&UrlPolicy::default()).unwrap())
}

pub fn loaded(id: i64) -> Loaded {
    Loaded {
        config: subscription(id),
        agent: AgentKey::default(),
        since: Since::ever(),
        lacks_consent: false,
        obstacle: None,
        secret_ends_at: None,
        former: Vec::new(),
        open_since: None,
        spare_until: None,
    }
}

/// Returns the delivery of an event with this number, from a window.
pub fn delivery(subscription_id: i64, seq: i64) -> Delivery {
    Delivery {
        token: seq.unsigned_abs(),
        event: Arc::new(Event {
            seq,
            ..Event::new("", "/shop", "order.paid", 0)
        }),
        subscription: subscription(subscription_id),
        agent: AgentKey::default(),
        origin: Origin::Window(1),
        attempts: 0,
        step: 0,
        created_at_micros: 0,
        rank: None,
        blocks_since: None,
        scheduled_for: None,
    }
}

/// Returns the record of a pending delivery that succeeded.
pub fn pending() -> Record {
    let mut delivery = delivery(1, 1);
    delivery.origin = Origin::Pending;
    Record::unattempted(delivery, End::Delivered)
}

/// A sender that takes as much work as it has room for, and sends none.
#[derive(Debug)]
pub struct Taker {
    pub room: usize,
    pub taken: Vec<Work>,
}

impl Taker {
    pub fn with_room(room: usize) -> Self {
        Self {
            room,
            taken: Vec::new(),
        }
    }

    /// Returns the numbers of the events whose deliveries were taken.
    pub fn seqs(&self) -> Vec<i64> {
        self.taken.iter().map(|work| work.place().seq).collect()
    }
}

impl Courier for Taker {
    fn send(&mut self, work: Work) -> Result<(), Work> {
        if self.taken.len() >= self.room {
            return Err(work);
        }
        self.taken.push(work);
        Ok(())
    }

    fn returned(&mut self, _most: usize) -> Vec<Returned> {
        Vec::new()
    }
}

/// Returns this work as it comes back with a status.
pub fn answered(work: Work, status: u16) -> Returned {
    let outcome = Outcome::answered(status, Duration::ZERO, None, String::new());
    failed(work, outcome)
}

/// Returns this work as it comes back with this outcome.
pub fn failed(work: Work, outcome: Outcome) -> Returned {
    Returned {
        work,
        attempt: Attempt {
            started_at_micros: 0,
            outcome,
        },
        chance: 0.5,
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::within(MEMORY)
    }
}

/// Returns the mind of a worker that has just begun.
pub fn mind() -> Mind {
    let snapshots = ("5:5:".parse().unwrap(), "10:10:".parse().unwrap());
    let last = Window::recovered(6, snapshots, (0, 0), 0);
    let settings = Settings {
        is_enabled: true,
        always_pending: false,
        memory: MEMORY,
        poll_interval: Duration::from_secs(5),
        threads: 8,
    };
    let reader = Reader::restored(&last, VecDeque::new(), SeenTypes::default(), 0);
    let ring = Ring::changed(86_400_000_000, None);
    Mind::new(settings, reader, ring, Suspects::default())
}

/// An empty database that takes everything that is recorded.
#[derive(Debug, Default)]
pub struct Empty {
    pub is_woken: bool,
    pub recorded: usize,
    /// Each subscription has this many pending deliveries that are due, the same at every claim.
    pub pending: i64,
    /// How long it takes to claim one of them.
    pub micros_each: u64,
    /// The subscriptions of which something scheduled is released, and when the next one is.
    pub scheduled: (Vec<i64>, Option<i64>),
}

/// Returns a pending delivery of the event with this number.
pub fn due(seq: i64, next_attempt_at: i64) -> Due {
    Due {
        seq,
        next_attempt_at,
        ..Due::default()
    }
}

/// Returns an event as it is read.
pub fn logged(seq: i64) -> Logged {
    Logged {
        event: Event {
            seq,
            ..Event::new("", "", "", 0)
        },
        xid: 3,
    }
}

fn at_once<R>(done: R) -> Took<R> {
    Took {
        result: Ok(done),
        took: Duration::ZERO,
    }
}

impl Store for Empty {
    fn is_woken(&self) -> bool {
        self.is_woken
    }

    fn glimpse<R>(
        &mut self,
        _see: impl FnOnce(&mut dyn View, Before) -> Result<R, Failure>,
    ) -> Took<R> {
        panic!("nobody looks at the log here")
    }

    fn forget_changes(&mut self, _loaded: &Snapshot) -> Result<(), Failure> {
        Ok(())
    }

    fn hold_reason(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    fn find_due(&mut self, _subscriptions: &[i64]) -> Result<Vec<(i64, i64)>, Failure> {
        Ok(Vec::new())
    }

    fn claim(&mut self, claim: &Claim<'_>) -> Took<Claims> {
        let (_, after) = claim.after;
        let seqs = (after + 1..=self.pending).take(claim.limit);
        let rows: Vec<Due> = seqs.clone().map(|seq| due(seq, 0)).collect();
        Took {
            took: Duration::from_micros(self.micros_each) * rows.len() as u32,
            result: Ok(Claims {
                rows,
                events: seqs.map(logged).collect(),
                is_complete: true,
            }),
        }
    }

    fn claim_keys(&mut self, _claim: &Claim<'_>, _keys: &[i64]) -> Took<Claims> {
        at_once(Claims::default())
    }

    fn find_parked(&mut self, _: i64, _: Option<i64>, _: usize) -> Took<Parked> {
        at_once(Parked::default())
    }

    fn unpark(&mut self, _subscription: i64, _most: usize) -> Took<usize> {
        at_once(0)
    }

    fn release_scheduled(&mut self, _most: usize) -> Took<Released> {
        let (subscriptions, next_at) = self.scheduled.clone();
        at_once(Released {
            subscriptions,
            next_at,
        })
    }

    fn event_at(&mut self, _place: (i16, i64), _largest: i32) -> Result<Option<Event>, Failure> {
        Ok(None)
    }

    fn record(&mut self, batch: Batch, _: Effort, _: Ring, _: &Tenants) -> Recorded {
        self.recorded += batch.records.len();
        Recorded {
            written: batch.records,
            closed_windows: batch.closed_windows,
            ..Recorded::default()
        }
    }

    fn disable(&mut self, _gone: &Gone) -> Result<(), Failure> {
        Ok(())
    }

    fn find_ended(&mut self, _after: i64) -> Result<VecDeque<Ended>, Failure> {
        Ok(VecDeque::new())
    }

    fn bury(&mut self, _ended: &Ended, _most: usize) -> Took<Buried> {
        at_once(Buried::default())
    }

    fn shed(&mut self, _walk: Walk, _most: usize) -> Took<Shed> {
        unreachable!("no backlog has a limit")
    }

    fn keep_house(&mut self, _part: Part) -> Took<Option<Cleaned>> {
        at_once(None)
    }

    fn configuration(&mut self) -> Result<Configuration, Failure> {
        Ok(Configuration::Same)
    }

    fn report(&mut self, _report: &Report, _fresh_types: &[String]) -> Result<(), Failure> {
        Ok(())
    }
}
