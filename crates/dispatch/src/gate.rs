//! The gate: a request begins only if a thread, and a connection of its tenant and its host, is free. Each request begins once and
//! finishes once, whether it is a delivery, a test request or a question.

use std::collections::VecDeque;
use std::sync::Arc;

use herald_core::egress::agent::AgentKey;
use herald_core::subscription::Subscription;

use crate::hosts::Hosts;
use crate::lanes::Lanes;
use crate::suspects::Suspects;
use crate::tenants::Tenants;
use crate::threads::Threads;
use crate::time::Now;
use crate::work::{Delivery, Work};

/// Threads, plans of tenants, limits of hosts, and suspects.
#[derive(Debug)]
pub struct Gate {
    pub threads: Threads,
    pub tenants: Tenants,
    pub hosts: Hosts,
    pub suspects: Suspects,
}

/// Whose limits a request keeps to, beside those of its lane.
#[derive(Debug, Clone)]
pub struct Whose {
    tenant: Option<Arc<str>>,
    /// Its host, if that has limits.
    host: Option<Arc<str>>,
}

/// How a request begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beginning {
    /// Its receiver answered a moment ago.
    pub is_proven: bool,
    /// It counts towards its tenant's monthly quota.
    pub is_new: bool,
    /// It counts for the rates of its tenant and its host.
    pub is_paced: bool,
    /// A worker died while sending it: no other suspect is sent beside it.
    pub is_suspect: bool,
}

impl Gate {
    pub fn new(threads: usize, suspects: Suspects) -> Self {
        Self {
            threads: Threads::new(threads),
            tenants: Tenants::default(),
            hosts: Hosts::default(),
            suspects,
        }
    }

    /// Returns whose limits the requests to a subscription keep to.
    pub fn whose(&self, agent: &AgentKey, subscription: &Subscription) -> Whose {
        Whose {
            tenant: agent.tenant.clone(),
            host: self.hosts.limited(subscription.target.host()),
        }
    }

    /// Returns whether a request of this lane may begin outside the lane's queue. If its tenant or its host has no free
    /// connection, remembers the lane until one is free.
    pub fn has_room_for(&mut self, lane: i64, is_proven: bool, whose: &Whose) -> bool {
        self.threads.has_room_for(lane, is_proven) && self.has_connection(lane, whose)
    }

    /// Returns whether its tenant and its host have a free connection. If not, remembers the lane until one is free.
    pub fn has_connection(&mut self, lane: i64, whose: &Whose) -> bool {
        self.tenants.has_connection(whose.tenant.as_deref(), lane)
            && self.hosts.has_connection(whose.host.as_deref(), lane)
    }

    /// Returns when the rates of its tenant and its host let the next delivery leave; `None` for now.
    pub fn paced_until(&mut self, whose: &Whose, now: Now) -> Option<i64> {
        let of_tenant = self
            .tenants
            .paced_until(whose.tenant.as_deref(), now.micros);
        of_tenant.max(self.hosts.paced_until(whose.host.as_deref(), now.micros))
    }

    /// Begins a request of this lane.
    pub fn begin(
        &mut self,
        (token, lane): (u64, i64),
        whose: &Whose,
        beginning: Beginning,
        now: Now,
    ) {
        self.threads
            .start(token, lane, beginning.is_proven, now.micros);
        let Whose { tenant, host } = whose;
        let paced_at = beginning.is_paced.then_some(now.micros);
        self.tenants
            .begin(tenant.as_deref(), beginning.is_new, paced_at);
        self.hosts.begin(token, host.as_deref(), paced_at);
        if beginning.is_suspect {
            self.suspects.begin_trial(token);
        }
    }

    /// Finishes a request, whatever its outcome, and makes lanes that waited for a connection ready. Returns the
    /// suspects that waited for it.
    pub fn finish(&mut self, work: &Work, lanes: &mut Lanes) -> VecDeque<Delivery> {
        self.threads.finish(work.token(), work.subscription().id);
        let of_tenant = self.tenants.end(work.agent().tenant.as_deref());
        let of_host = self.hosts.end(work.token());
        for waiting in of_tenant.into_iter().chain(of_host) {
            lanes.make_ready(waiting);
        }
        self.suspects.came_back(work.token())
    }
}
