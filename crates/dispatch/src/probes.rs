//! Probes of receivers by requests without a delivery: what opens a lane again whose breaker sends no deliveries meanwhile,
//! and what tells how long receivers are up.

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
        lanes: &mut Lanes,
        subscriptions: &Subscriptions,
        gate: &mut Gate,
        tokens: &mut Tokens,
        courier: &mut impl Courier,
        now: Now,
    ) {
        while let Some(id) = lanes.take_probed(now) {
            // One that is under way says when to look again. One that is held is looked at when it no longer is.
            if self.under_way.contains(&id) {
                continue;
            }
            if !lanes.is_probed(id) {
                lanes.forget_probe(id);
                continue;
            }
            let while_well = lanes.next_probe_while_well(id);
            if let Some(at) = while_well.filter(|at| !now.is_past(*at)) {
                lanes.expect_probe(id, at);
                continue;
            }
            if let Some(until) = lanes.probe_delayed_until(id, now.micros) {
                let rest = until.saturating_sub(now.micros).max(0).unsigned_abs();
                lanes.expect_probe(id, now.moment + Duration::from_micros(rest));
                continue;
            }
            let Some(loaded) = subscriptions.by_id(id) else {
                continue;
            };
            let whose = gate.whose(&loaded.agent, &loaded.config);
            if let Some(until) = gate.paced_until(&whose, now) {
                let rest = until.saturating_sub(now.micros).max(0).unsigned_abs();
                lanes.expect_probe(id, now.moment + Duration::from_micros(rest));
                continue;
            }
            let token = tokens.give();
            let probe = Probe {
                token,
                subscription: Arc::clone(&loaded.config),
                agent: loaded.agent.clone(),
            };
            if !gate.has_room_for(id, false, &whose) || courier.send(Work::Probe(probe)).is_err() {
                lanes.expect_probe(id, now.moment + FOR_A_THREAD);
                continue;
            }
            self.under_way.insert(id);
            lanes.count_probe(id, now.micros);
            let beginning = Beginning {
                is_paced: true,
                ..Beginning::default()
            };
            gate.begin((token, id), &whose, beginning, now);
        }
    }

    /// Notes that a probe came back.
    pub fn came_back(&mut self, id: i64) {
        self.under_way.remove(&id);
    }
}
