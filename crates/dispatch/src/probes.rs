//! Probes of receivers that are down, by requests without a delivery: what opens a lane again whose breaker sends no
//! deliveries meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::courier::Courier;
use crate::gate::{Beginning, Gate};
use crate::lanes::Lanes;
use crate::subscriptions::Subscriptions;
use crate::time::Now;
use crate::tokens::Tokens;
use crate::work::{Probe, Work};

/// The pause of a probe that waits for a thread or a connection.
const FOR_A_THREAD: Duration = Duration::from_millis(100);

/// The probes that are under way, by subscription.
#[derive(Debug, Default)]
pub struct Probes {
    under_way: BTreeSet<i64>,
}

impl Probes {
    /// Sends the probes that are due, as far as threads and connections are free.
    pub fn send(
        &mut self,
        lanes: &Lanes,
        subscriptions: &Subscriptions,
        gate: &mut Gate,
        tokens: &mut Tokens,
        courier: &mut impl Courier,
        now: Now,
    ) {
        for id in lanes.waiting_for_probe() {
            let is_due = lanes.delayed_until(id, now.micros).is_none();
            let Some(loaded) = subscriptions.by_id(id) else {
                continue;
            };
            if !is_due || loaded.is_held() || self.under_way.contains(&id) {
                continue;
            }
            let whose = gate.whose(&loaded.agent, &loaded.config);
            if !gate.has_room_for(id, false, &whose) {
                continue;
            }
            let token = tokens.give();
            let probe = Probe {
                token,
                subscription: Arc::clone(&loaded.config),
                agent: loaded.agent.clone(),
            };
            if courier.send(Work::Probe(probe)).is_err() {
                return;
            }
            self.under_way.insert(id);
            gate.begin((token, id), &whose, Beginning::default(), now);
        }
    }

    /// Notes that a probe came back.
    pub fn came_back(&mut self, id: i64) {
        self.under_way.remove(&id);
    }

    /// Returns how long no probe has to be sent, if any lane waits for one.
    pub fn due_in(&self, lanes: &Lanes, now: Now) -> Option<Duration> {
        let waiting = lanes
            .waiting_for_probe()
            .filter(|id| !self.under_way.contains(id));
        let due = waiting.map(|id| {
            let until = lanes.delayed_until(id, now.micros).unwrap_or(now.micros);
            let rest = until.saturating_sub(now.micros).max(0);
            Duration::from_micros(rest.unsigned_abs()).max(FOR_A_THREAD)
        });
        due.min()
    }
}
