//! Sending: chooses the next delivery from the lanes, and hands it to the sender.

use std::sync::Arc;

use herald_core::attempt::retry::DeadReason;

use crate::courier::Courier;
use crate::gate::{Beginning, Gate};
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::record::{End, Record};
use crate::subscriptions::Subscriptions;
use crate::suspects::Suspicion;
use crate::tenants::Verdict;
use crate::time::Now;
use crate::work::{Delivery, Work};

/// The parts of the worker that choosing the next delivery needs.
#[derive(Debug)]
pub struct Choosing<'a> {
    pub lanes: &'a mut Lanes,
    pub gate: &'a mut Gate,
    pub ledger: &'a mut Ledger,
    pub subscriptions: &'a Subscriptions,
}

impl Choosing<'_> {
    /// Hands deliveries to the sender, lane by lane, while threads are free.
    pub fn send(&mut self, courier: &mut impl Courier, now: Now) {
        self.lanes.end_rests(now);
        while self.gate.threads.has_room()
            && let Some(id) = self
                .lanes
                .take_ready(self.gate.threads.has_room_for_doubtful())
        {
            let Some((delivery, beginning)) = self.next_of(id, now) else {
                continue;
            };
            let token = delivery.token;
            let whose = self.gate.whose(&delivery.agent, &delivery.subscription);
            let Err(work) = courier.send(Work::Delivery(delivery)) else {
                self.gate.begin((token, id), &whose, beginning, now);
                self.lanes.make_ready(id);
                continue;
            };
            if let (Work::Delivery(delivery), Some(entry)) = (work, self.lanes.get(id)) {
                entry.lane.put_back(delivery, now.micros);
            }
            self.lanes.make_ready(id);
            break;
        }
    }

    /// Takes a delivery from a lane, if one may be sent now. If not, the lane becomes ready again when that changes.
    fn next_of(&mut self, id: i64, now: Now) -> Option<(Delivery, Beginning)> {
        // A failed transaction may have read that it was removed; then the next look removes its lane.
        let subscription = self.subscriptions.by_id(id)?;
        let entry = self.lanes.get(id)?;
        let is_proven = entry.lane.is_proven(now.micros);
        if !self.gate.threads.has_room_for(id, is_proven) {
            self.lanes.park(id);
            return None;
        }
        let whose = self.gate.whose(&subscription.agent, &subscription.config);
        if !self.gate.has_connection(id, &whose) {
            return None;
        }
        if let Some(until) = self.gate.paced_until(&whose, now) {
            self.lanes.rest_until(id, until, now);
            return None;
        }
        let tenant = subscription.agent.tenant.as_deref();
        let Some(mut delivery) = entry.lane.take_ready(now.micros) else {
            self.lanes.rest(id, now);
            return None;
        };
        let suspicion = self.gate.suspects.judge(&delivery);
        match suspicion {
            Suspicion::None | Suspicion::Tried => {}
            Suspicion::Waits => {
                self.withdraw(id);
                self.gate.suspects.set_aside(delivery);
                return None;
            }
            Suspicion::Poison => {
                self.withdraw(id);
                self.bury(delivery, DeadReason::Poison, now);
                return None;
            }
        }
        // Queued deliveries use the current options: a new URL, a new secret.
        delivery.subscription = Arc::clone(&subscription.config);
        delivery.agent = subscription.agent.clone();
        let beginning = Beginning {
            is_proven,
            is_new: delivery.is_new_this_month(),
            is_paced: true,
            is_suspect: suspicion == Suspicion::Tried,
        };
        match self.gate.tenants.judge(tenant, beginning.is_new) {
            Verdict::Send => Some((delivery, beginning)),
            Verdict::Hold => {
                if let Some(entry) = self.lanes.get(id) {
                    entry.lane.put_back(delivery, now.micros);
                    entry.lane.hold();
                }
                None
            }
            Verdict::Bury => {
                self.withdraw(id);
                self.bury(delivery, DeadReason::Quota, now);
                None
            }
        }
    }

    /// Gives up the delivery taken from the lane, which may have more.
    fn withdraw(&mut self, id: i64) {
        if let Some(entry) = self.lanes.get(id) {
            entry.lane.withdrawn();
        }
        self.lanes.make_ready(id);
    }

    /// Buries a delivery without an attempt.
    fn bury(&mut self, delivery: Delivery, reason: DeadReason, now: Now) {
        let record = Record::unattempted(delivery, End::Dead(reason));
        self.ledger.settle(record, self.lanes, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deaths::Legacy;
    use crate::hosts::{HostLimit, HostLimits};
    use crate::subscriptions::Loaded;
    use crate::suspects::Suspects;
    use crate::tenants::{OverQuota, Quota, Quotas};
    use herald_core::subscription::rate::Rate;

    use crate::testing::{Taker, at, delivery, loaded, moment};

    struct Room {
        lanes: Lanes,
        gate: Gate,
        ledger: Ledger,
        subscriptions: Subscriptions,
    }

    impl Room {
        /// Returns a room with these subscriptions, and a delivery of each of these events to all of them.
        fn new(threads: usize, suspects: Suspects, ids: &[i64], seqs: &[i64]) -> Self {
            let mut room = Self {
                lanes: Lanes::default(),
                gate: Gate::new(threads, suspects),
                ledger: Ledger::default(),
                subscriptions: Subscriptions::unloaded(),
            };
            room.subscribe(ids.iter().copied().map(loaded).collect());
            for (id, seq) in ids
                .iter()
                .flat_map(|id| seqs.iter().map(move |seq| (*id, *seq)))
            {
                let entry = room.lanes.get(id).unwrap();
                entry.lane.succeeded(0);
                entry.lane.push(delivery(id, seq), 0);
                room.lanes.make_ready(id);
            }
            room
        }

        fn subscribe(&mut self, loaded: Vec<Loaded>) {
            for subscription in &loaded {
                self.lanes.configure(subscription, &self.gate.tenants);
            }
            let ids: Vec<i64> = loaded
                .iter()
                .map(|subscription| subscription.config.id)
                .collect();
            self.subscriptions.put_all(&ids, loaded);
        }

        fn send(&mut self, courier: &mut Taker) {
            self.send_at(courier, at(1));
        }

        fn send_at(&mut self, courier: &mut Taker, now: Now) {
            let mut choosing = Choosing {
                lanes: &mut self.lanes,
                gate: &mut self.gate,
                ledger: &mut self.ledger,
                subscriptions: &self.subscriptions,
            };
            choosing.send(courier, now);
        }

        fn ends(&mut self) -> Vec<(i64, End)> {
            let batch = self.ledger.last_batch();
            let records = batch.records.iter();
            records
                .map(|record| (record.delivery.event.seq, record.end))
                .collect()
        }
    }

    #[test]
    fn lanes_are_served_in_turn() {
        let mut room = Room::new(64, Suspects::default(), &[1, 2], &[1, 2]);
        let mut courier = Taker::with_room(4);
        room.send(&mut courier);
        let ids: Vec<i64> = courier
            .taken
            .iter()
            .map(|work| work.subscription().id)
            .collect();
        assert_eq!((ids, courier.seqs()), (vec![1, 2, 1, 2], vec![1, 1, 2, 2]));
    }

    #[test]
    fn what_the_sender_does_not_take_stays_first_in_its_lane() {
        let mut room = Room::new(64, Suspects::default(), &[1], &[1, 2]);
        room.send(&mut Taker::with_room(0));
        assert_eq!(room.gate.threads.in_flight(), 0);
        let mut courier = Taker::with_room(2);
        room.send(&mut courier);
        assert_eq!(courier.seqs(), [1, 2]);
        assert_eq!(room.gate.threads.in_flight(), 2);
    }

    #[test]
    fn a_lane_sends_what_it_holds_once_its_delay_is_over() {
        let mut room = Room::new(64, Suspects::default(), &[1], &[1]);
        room.lanes.get(1).unwrap().lane.spare(Some(500_000));
        let mut courier = Taker::with_room(1);
        room.send_at(&mut courier, at(499));
        assert!(courier.taken.is_empty());
        assert_eq!(room.lanes.rests_until(), Some(moment(500)));
        room.send_at(&mut courier, at(500));
        assert_eq!(courier.seqs(), [1]);
        assert_eq!(room.lanes.rests_until(), None);
    }

    #[test]
    fn lanes_share_the_rate_of_a_host_in_turn() {
        let seqs: Vec<i64> = (1..=20).collect();
        let mut room = Room::new(64, Suspects::default(), &[1, 2, 3], &seqs);
        let limit = HostLimit {
            rate_limit: Some(Rate::parse("rate_limit", "10/s").unwrap()),
            max_concurrency: None,
        };
        let limits = HostLimits::from([("example.com".into(), limit)]);
        room.gate.hosts.configure(&limits);
        let mut courier = Taker::with_room(1_000);
        for millis in (0..2_000).step_by(5) {
            room.send_at(&mut courier, at(millis));
        }
        let count = |id| {
            courier
                .taken
                .iter()
                .filter(|work| work.subscription().id == id)
                .count()
        };
        let counts = [count(1), count(2), count(3)];
        assert!(
            counts.iter().all(|count| (6..=8).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn queued_deliveries_use_current_options() {
        let mut room = Room::new(64, Suspects::default(), &[1], &[1]);
        let mut changed = loaded(1);
        let mut config = (*changed.config).clone();
        config.generation += 1;
        changed.config = Arc::new(config);
        room.subscribe(vec![changed]);
        let mut courier = Taker::with_room(1);
        room.send(&mut courier);
        let generation = loaded(1).config.generation;
        assert_eq!(courier.taken[0].subscription().generation, generation + 1);
    }

    #[test]
    fn a_subscription_that_is_known_to_be_removed_is_sent_nothing() {
        let mut room = Room::new(64, Suspects::default(), &[1, 2], &[1]);
        room.subscriptions.put_all(&[1], Vec::new());
        let mut courier = Taker::with_room(2);
        room.send(&mut courier);
        assert_eq!(courier.taken.len(), 1);
        assert_eq!(courier.taken[0].subscription().id, 2);
    }

    #[test]
    fn a_used_up_quota_holds_the_lane_or_buries_what_is_new() {
        for (over_quota, buried) in [(OverQuota::Throttled, 0), (OverQuota::Blocked, 2)] {
            let mut room = Room::new(64, Suspects::default(), &[1], &[1, 2]);
            let mut of_acme = loaded(1);
            of_acme.agent.tenant = Some("acme".into());
            room.subscribe(vec![of_acme]);
            let quota = Quota {
                events_per_month: Some(0),
                max_connections: None,
                rate_limit: None,
                over_quota,
                events: 0,
            };
            let quotas = Quotas::from([("acme".into(), quota)]);
            room.gate.tenants.configure(&quotas);
            let mut courier = Taker::with_room(2);
            room.send(&mut courier);
            assert!(courier.taken.is_empty());
            let ends = room.ends();
            assert_eq!(ends.len(), buried);
            let dead = End::Dead(DeadReason::Quota);
            assert!(ends.iter().all(|(_, end)| *end == dead));
        }
    }

    #[test]
    fn poison_is_buried_and_suspects_wait_for_each_other() {
        let legacy = Legacy {
            suspects: vec![delivery(1, 1).place(), delivery(1, 2).place()],
            poison: vec![delivery(1, 3).place()],
            ..Legacy::default()
        };
        let mut room = Room::new(64, Suspects::new(&legacy), &[1], &[1, 2, 3, 4]);
        let mut courier = Taker::with_room(4);
        room.send(&mut courier);
        assert_eq!(courier.seqs(), [1, 4]);
        assert_eq!(room.ends(), [(3, End::Dead(DeadReason::Poison))]);
        let waiting = room.gate.finish(&courier.taken[0], &mut room.lanes);
        let seqs: Vec<i64> = waiting.iter().map(|suspect| suspect.event.seq).collect();
        assert_eq!(seqs, [2]);
    }
}
