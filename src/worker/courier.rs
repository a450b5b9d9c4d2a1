//! The sender as dispatch sees it. A send thread builds the request, and notes what it is at.

use crate::life;
use herald_core::attempt::outcome::Outcome;
use herald_core::egress::agent::AgentKey;
use herald_core::request::HttpRequest;
use herald_dispatch::courier::{Courier, Returned};
use herald_dispatch::record::Attempt;
use herald_dispatch::work::Work;
use herald_sender::{Prepare, Sender};

/// Work that is with the sender.
#[derive(Debug)]
pub struct Sending(Work);

/// The sender of this worker.
#[derive(Debug)]
pub struct HttpCourier(pub Sender<Sending>);

impl Courier for HttpCourier {
    fn send(&mut self, work: Work) -> Result<(), Work> {
        self.0.send(Sending(work)).map_err(|Sending(work)| work)
    }

    fn returned(&mut self, most: usize) -> Vec<Returned> {
        let attempted = self.0.outcomes().take(most);
        let returned = attempted.map(|attempted| Returned {
            work: attempted.work.0,
            attempt: Attempt {
                started_at_micros: attempted.started_at_unix_micros,
                outcome: attempted.outcome,
            },
            chance: fastrand::f64(),
        });
        returned.collect()
    }
}

impl HttpCourier {
    /// Takes no more work, and returns what no thread has taken.
    pub fn close(&mut self) -> impl Iterator<Item = Work> {
        self.0.close().into_iter().map(|Sending(work)| work)
    }

    /// Returns whether requests are under way.
    pub fn is_busy(&self) -> bool {
        self.0.in_flight() > 0
    }
}

impl Prepare for Sending {
    fn prepare(&mut self, now_unix: i64) -> Result<HttpRequest, Outcome> {
        self.0.request(now_unix)
    }

    fn agent(&self) -> AgentKey {
        self.0.agent().clone()
    }

    fn begun(&self, thread: usize) {
        life::begun(thread, self.0.place());
    }

    fn ended(thread: usize) {
        life::ended(thread);
    }
}
