//! From the lanes to the sender: which delivery is sent next, if any may be.

use super::Worker;
use super::suspects::Suspicion;
use super::work::Claimed;
use crate::record::{End, Record};
use herald_core::deaths::Place;
use herald_core::retry::DeadReason;
use herald_core::tenants::Verdict;
use std::sync::Arc;

/// A delivery that was taken out of its lane to be sent.
struct Next {
    delivery: Claimed,
    /// Its receiver answered a moment ago.
    is_proven: bool,
    /// It counts for its tenant's plan.
    is_new: bool,
    /// A worker died while it was sent: no other such delivery is sent beside it.
    suspect: Option<Place>,
}

impl Worker {
    /// Hands deliveries to the sender, lane after lane, as long as there are threads.
    pub(super) fn dispatch(&mut self, now: i64) {
        while self.settings.enabled
            && self.threads.has_room()
            && let Some(id) = self.lanes.take_ready(self.threads.has_room_for_doubtful())
        {
            let Some(next) = self.next_of(id, now) else {
                continue;
            };
            let token = next.delivery.token;
            let tenant = next.delivery.agent.tenant.clone();
            match self.sender.send(next.delivery) {
                Ok(()) => {
                    self.threads.start(token, id, next.is_proven, now);
                    self.tenants.begin(tenant.as_deref(), next.is_new);
                    if let Some(place) = next.suspect {
                        self.suspects.try_one(token, place);
                    }
                    self.lanes.make_ready(id);
                }
                Err(delivery) => {
                    if let Some(entry) = self.lanes.get(id) {
                        entry.lane.put_back(delivery, now);
                    }
                    self.lanes.make_ready(id);
                    break;
                }
            }
        }
    }

    /// Takes a delivery out of a lane, if one may be sent now. The lane comes back by itself when that changes.
    fn next_of(&mut self, id: i64, now: i64) -> Option<Next> {
        let entry = self.lanes.get(id)?;
        let is_proven = entry.lane.is_proven(now);
        if !self.threads.has_room_for(id, is_proven) {
            self.lanes.park(id);
            return None;
        }
        let subscription = self.subscriptions.by_id(id);
        let tenant = subscription.and_then(|one| one.agent.tenant.as_deref());
        if !self.tenants.has_connection(tenant, id) {
            return None;
        }
        let mut delivery = entry.lane.take_ready(now)?;
        let suspicion = self.suspects.judge(&delivery);
        if matches!(suspicion, Suspicion::Waits | Suspicion::Poison) {
            entry.lane.withdrawn();
            self.lanes.make_ready(id);
            if suspicion == Suspicion::Waits {
                self.suspects.set_aside(delivery);
            } else {
                self.bury(delivery, DeadReason::Poison);
            }
            return None;
        }
        // What waited goes by the options of now: a new URL, a new secret.
        if let Some(one) = subscription {
            delivery.subscription = Arc::clone(&one.config);
            delivery.agent = one.agent.clone();
        }
        let is_new = delivery.attempts == 0 && delivery.is_metered();
        match self.tenants.judge(tenant, is_new) {
            Verdict::Send => Some(Next {
                suspect: (suspicion == Suspicion::Tried).then(|| delivery.place()),
                delivery,
                is_proven,
                is_new,
            }),
            Verdict::Hold => {
                entry.lane.put_back(delivery, now);
                entry.lane.hold();
                None
            }
            Verdict::Bury => {
                entry.lane.withdrawn();
                self.lanes.make_ready(id);
                self.bury(delivery, DeadReason::Quota);
                None
            }
        }
    }

    /// Gives a delivery up without an attempt.
    fn bury(&mut self, delivery: Claimed, reason: DeadReason) {
        self.settle(Record {
            work: delivery,
            attempt: None,
            end: End::Dead(reason),
        });
    }
}
