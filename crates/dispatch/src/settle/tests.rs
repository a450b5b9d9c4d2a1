use super::*;
use crate::lane::keys::Rank;
use crate::suspects::Suspects;
use crate::testing::{answered, at, delivery, failed, loaded, subscription};
use crate::work::{Ping, Probe, Question};
use herald_core::attempt::outcome::ErrorClass;
use herald_core::egress::agent::AgentKey;
use herald_core::subscription::breaker::BreakerPolicy;
use herald_core::subscription::ordering::{OrderedBy, Ordering};
use std::sync::Arc;

struct Room {
    lanes: Lanes,
    gate: Gate,
    ledger: Ledger,
    subscriptions: Subscriptions,
    burials: Burials,
    effects: Effects,
    look_wanted: bool,
}

impl Room {
    /// Returns a room with subscription 1.
    fn new() -> Self {
        let mut lanes = Lanes::default();
        lanes.configure(&loaded(1), &Default::default());
        let mut subscriptions = Subscriptions::unloaded();
        subscriptions.put_all(&[1], vec![loaded(1)]);
        Self {
            lanes,
            gate: Gate::new(64, Suspects::default()),
            ledger: Ledger::default(),
            subscriptions,
            burials: Burials::default(),
            effects: Effects::new(),
            look_wanted: false,
        }
    }

    fn settle(&mut self, returned: Returned) {
        let mut settling = Settling {
            lanes: &mut self.lanes,
            gate: &mut self.gate,
            ledger: &mut self.ledger,
            subscriptions: &mut self.subscriptions,
            burials: &mut self.burials,
            consents: &mut Consents::default(),
            probes: &mut Probes::default(),
            shortage: &mut Shortage::default(),
            effects: &mut self.effects,
            look_wanted: &mut self.look_wanted,
        };
        settling.settle(returned, at(0));
    }

    /// Returns the only record.
    fn record(&mut self) -> Record {
        let mut records = self.ledger.last_batch().records;
        assert_eq!(records.len(), 1);
        records.remove(0)
    }
}

fn ended(delivery: Delivery, status: u16) -> End {
    let mut room = Room::new();
    room.settle(answered(Work::Delivery(delivery), status));
    room.record().end
}

#[test]
fn an_answer_of_a_receiver_decides_how_its_delivery_goes_on() {
    assert_eq!(ended(delivery(1, 1), 204), End::Delivered);
    let end = ended(delivery(1, 1), 500);
    assert!(matches!(end, End::Pending { step: 1, .. }), "{end:?}");
    assert_eq!(ended(delivery(1, 1), 410), End::Dead(DeadReason::Gone));
}

#[test]
fn removed_subscriptions_get_no_retry() {
    let end = ended(delivery(2, 1), 500);
    assert_eq!(end, End::Dead(DeadReason::Unsubscribed));
}

#[test]
fn a_good_bye_of_a_former_url_ends_nothing() {
    let mut former = delivery(1, 1);
    let mut config = (*former.subscription).clone();
    config.generation -= 1;
    former.subscription = Arc::new(config);
    let mut room = Room::new();
    room.settle(answered(Work::Delivery(former), 410));
    let end = room.record().end;
    assert!(
        matches!(
            end,
            End::Pending {
                at_micros: 0,
                step: 0
            }
        ),
        "{end:?}"
    );
    assert!(!room.burials.has_unnoted());
    room.settle(answered(Work::Delivery(delivery(1, 2)), 410));
    assert!(room.burials.has_unnoted());
}

#[test]
fn a_shortage_counts_no_attempt() {
    let mut room = Room::new();
    let shortage = || Outcome::failed(ErrorClass::Shortage, "no descriptor", Duration::ZERO);
    room.settle(failed(Work::Delivery(delivery(1, 1)), shortage()));
    let record = room.record();
    assert!(record.attempt.is_none() && record.is_pending());
    assert_eq!(record.delivery.attempts, 0);
    // The tenant's quota is read again.
    assert!(room.look_wanted);
    assert!(matches!(&room.effects[..], [Effect::Log(words)] if words.contains("no descriptor")));
}

#[test]
fn test_requests_and_questions_leave_no_record() {
    let (config, agent) = (subscription(1), AgentKey::default());
    let ping = Ping::new((1, 77), &config, &agent, None, "uid".into(), 0);
    let mut room = Room::new();
    room.settle(answered(Work::Ping(ping), 200));
    assert!(matches!(
        room.effects[..],
        [Effect::Answer { mail: 77, .. }]
    ));
    let question = Question {
        token: 2,
        subscription: config,
        agent,
    };
    room.settle(answered(Work::Question(question), 200));
    assert!(matches!(room.effects[1..], [Effect::Consent(_)]));
    // The answer changes the subscription.
    assert!(room.look_wanted && !room.ledger.has_something());
}

#[test]
fn spilling_a_pending_delivery_only_ends_its_claim() {
    let (mut lanes, mut ledger) = (Lanes::default(), Ledger::default());
    lanes.configure(&loaded(1), &Default::default());
    let mut claimed = delivery(1, 7);
    claimed.origin = Origin::Pending;
    lanes.get(1).unwrap().claimed.insert(7);
    spill(claimed, &mut ledger, &mut lanes, at(0));
    let entry = lanes.get(1).unwrap();
    assert!(entry.claimed.is_empty() && entry.next_due == Some(0));
    assert!(!ledger.has_something());
    spill(delivery(1, 8), &mut ledger, &mut lanes, at(0));
    assert_eq!(lanes.get(1).unwrap().unrecorded, 1);
    assert!(ledger.has_something());
}

#[test]
fn a_full_lane_makes_room_only_where_another_one_starves_because_of_it() {
    let spilled = |is_held_up| {
        let (mut lanes, mut ledger) = (Lanes::default(), Ledger::default());
        lanes.configure(&loaded(1), &Default::default());
        lanes.configure(&loaded(2), &Default::default());
        let full = lanes.get(1).unwrap();
        (0..1_000).for_each(|seq| full.lane.push(delivery(1, seq), 0));
        let starving = lanes.get(2).unwrap();
        starving.lane.push(delivery(2, 1), 0);
        starving.lane.take_ready(0);
        starving.lane.succeeded(0);
        lanes.take_survey(0);
        let pressure = Pressure {
            is_held_up,
            is_always: false,
        };
        spill_what_must(pressure, &mut lanes, &mut ledger, at(0))
    };
    assert!(!spilled(false) && spilled(true));
}

/// Returns a room whose subscription has a breaker that opens by one failure.
fn room_with_breaker() -> Room {
    let mut room = Room::new();
    let policy = BreakerPolicy {
        failures: 1,
        ..BreakerPolicy::default()
    };
    let entry = room.lanes.get(1).unwrap();
    entry.lane.set_breaker(Some(policy), None);
    room
}

fn is_open(room: &mut Room) -> bool {
    room.lanes.get(1).unwrap().lane.is_open()
}

#[test]
fn a_delivery_whose_receiver_is_known_to_be_down_keeps_its_step() {
    let mut room = room_with_breaker();
    room.settle(answered(Work::Delivery(delivery(1, 1)), 503));
    assert!(matches!(room.record().end, End::Pending { step: 1, .. }));
    assert!(is_open(&mut room));
    let mut worn_out = delivery(1, 2);
    (worn_out.step, worn_out.attempts) = (9, 99);
    room.settle(answered(Work::Delivery(worn_out), 503));
    let end = room.record().end;
    let probe = BreakerPolicy::default().probe;
    assert!(
        matches!(end, End::Pending { step: 9, at_micros } if at_micros == probe),
        "{end:?}"
    );
}

#[test]
fn what_says_nothing_of_the_receiver_uses_the_schedule_up() {
    let mut room = room_with_breaker();
    room.settle(answered(Work::Delivery(delivery(1, 1)), 503));
    room.record();
    let mut worn_out = delivery(1, 2);
    worn_out.step = 9;
    let blocked = Outcome::failed(ErrorClass::Blocked, "blocked", Duration::ZERO);
    room.settle(failed(Work::Delivery(worn_out), blocked));
    assert_eq!(room.record().end, End::Dead(DeadReason::Exhausted));
    assert!(is_open(&mut room));
}

#[test]
fn an_answer_of_a_former_url_changes_no_breaker() {
    let mut room = room_with_breaker();
    let mut former = delivery(1, 1);
    let mut config = (*former.subscription).clone();
    config.generation -= 1;
    former.subscription = Arc::new(config);
    room.settle(answered(Work::Delivery(former.clone()), 503));
    assert!(!is_open(&mut room));
    room.settle(answered(Work::Delivery(delivery(1, 2)), 503));
    room.settle(answered(Work::Delivery(former), 200));
    assert!(is_open(&mut room));
}

#[test]
fn a_probe_that_meets_a_shortage_is_not_repeated_at_once() {
    let mut room = room_with_breaker();
    let probe = Probe {
        token: 1,
        subscription: subscription(1),
        agent: AgentKey::default(),
    };
    let shortage = Outcome::failed(ErrorClass::Shortage, "no descriptor", Duration::ZERO);
    room.settle(failed(Work::Probe(probe), shortage));
    assert!(room.lanes.get(1).unwrap().lane.delayed_until(0).is_some());
}

/// Returns a room whose subscription is ordered by key, with these events of one key taken in, and the work for the first.
fn ordered(seqs: &[i64]) -> (Room, Work) {
    let mut room = Room::new();
    let entry = room.lanes.get(1).unwrap();
    entry.order.configure(Some(OrderedBy::Key), &mut entry.lane);
    entry.lane.unspill();
    for seq in seqs {
        let mut ranked = delivery(1, *seq);
        ranked.rank = Some(rank(*seq));
        entry.push(ranked, 0);
    }
    let first = entry.lane.take_ready(0).unwrap();
    (room, Work::Delivery(first))
}

fn rank(seq: i64) -> Rank {
    Rank {
        key: 7,
        at: seq,
        seq,
    }
}

#[test]
fn the_next_of_a_key_follows_a_success_at_once() {
    let (mut room, work) = ordered(&[1, 2]);
    assert!(!room.lanes.get(1).unwrap().lane.has_next());
    room.settle(answered(work, 200));
    assert!(room.lanes.get(1).unwrap().lane.has_next());
}

#[test]
fn the_next_of_a_key_waits_until_a_failure_is_recorded() {
    for status in [400, 500] {
        let (mut room, work) = ordered(&[1, 2]);
        room.settle(answered(work, status));
        let entry = room.lanes.get(1).unwrap();
        assert!(!entry.lane.has_next() && entry.lane.holds_key(7));
    }
}

#[test]
fn what_spills_takes_its_followers_along_and_is_parked() {
    let (mut room, work) = ordered(&[1, 2, 3]);
    let Work::Delivery(mut first) = work else {
        unreachable!()
    };
    first.origin = Origin::Pending;
    room.ledger.take_up(&first);
    spill(first, &mut room.ledger, &mut room.lanes, at(0));
    let ends: Vec<(i64, End)> = room
        .ledger
        .last_batch()
        .records
        .iter()
        .map(|record| (record.delivery.event.seq, record.end))
        .collect();
    let parked = End::Pending {
        at_micros: PARKED,
        step: 0,
    };
    assert_eq!(ends, [(2, parked), (3, parked)]);
    let entry = room.lanes.get(1).unwrap();
    assert!(entry.lane.is_spilled() && entry.lane.is_empty());
}

#[test]
fn a_delivery_blocks_its_key_for_no_longer_than_max_block() {
    let ends = [(None, true), (Some(4), false), (Some(5), true)].map(|(seconds, is_retried)| {
        let (mut room, work) = ordered(&[1]);
        let Work::Delivery(mut first) = work else {
            unreachable!()
        };
        let mut config = (*first.subscription).clone();
        config.retry.jitter = 0.0;
        config.ordering = Some(Ordering {
            by: OrderedBy::Key,
            dead_blocks: false,
            max_block: seconds.map(Duration::from_secs),
        });
        first.subscription = Arc::new(config);
        // The first delay is 5 s.
        room.settle(answered(Work::Delivery(first), 500));
        (room.record().is_pending(), is_retried)
    });
    assert!(
        ends.iter()
            .all(|(is_pending, is_retried)| is_pending == is_retried),
        "{ends:?}"
    );
}
