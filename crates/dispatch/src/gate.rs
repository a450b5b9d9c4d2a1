//! The gate: a request begins only if a thread, and a connection of its tenant, is free. Each request begins once and
//! finishes once, whether it is a delivery, a test request or a question.

use std::collections::VecDeque;

use crate::lanes::Lanes;
use crate::suspects::Suspects;
use crate::tenants::Tenants;
use crate::threads::Threads;
use crate::time::Now;
use crate::work::{Delivery, Work};

/// Threads, plans of tenants, and suspects.
#[derive(Debug)]
pub struct Gate {
    pub threads: Threads,
    pub tenants: Tenants,
    pub suspects: Suspects,
}

/// How a request begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beginning {
    /// Its receiver answered a moment ago.
    pub is_proven: bool,
    /// It counts towards its tenant's monthly quota.
    pub is_new: bool,
    /// A worker died while sending it: no other suspect is sent beside it.
    pub is_suspect: bool,
}

impl Gate {
    pub fn new(threads: usize, suspects: Suspects) -> Self {
        Self {
            threads: Threads::new(threads),
            tenants: Tenants::default(),
            suspects,
        }
    }

    /// Returns whether a request of this lane may begin outside the lane's queue. If its tenant has no free connection,
    /// remembers the lane until one is free.
    pub fn has_room_for(&mut self, lane: i64, is_proven: bool, tenant: Option<&str>) -> bool {
        self.threads.has_room_for(lane, is_proven) && self.tenants.has_connection(tenant, lane)
    }

    /// Begins a request of this lane.
    pub fn begin(
        &mut self,
        (token, lane): (u64, i64),
        tenant: Option<&str>,
        beginning: Beginning,
        now: Now,
    ) {
        self.threads
            .start(token, lane, beginning.is_proven, now.micros);
        self.tenants.begin(tenant, beginning.is_new);
        if beginning.is_suspect {
            self.suspects.begin_trial(token);
        }
    }

    /// Finishes a request, whatever its outcome, and makes lanes that waited for a connection ready. Returns the
    /// suspects that waited for it.
    pub fn finish(&mut self, work: &Work, lanes: &mut Lanes) -> VecDeque<Delivery> {
        self.threads.finish(work.token(), work.subscription().id);
        for waiting in self.tenants.end(work.agent().tenant.as_deref()) {
            lanes.make_ready(waiting);
        }
        self.suspects.came_back(work.token())
    }
}
