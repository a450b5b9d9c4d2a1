//! What the witness sees: all that is sent, answered and recorded, and what of it must not happen.

use std::collections::VecDeque;

use herald_core::attempt::outcome::Outcome;
use herald_core::attempt::retry::lane_delay_until;
use herald_core::event::Event;
use herald_core::subscription::breaker::{BreakerPolicy, ProbeWith, shows_down, shows_up};
use herald_core::subscription::rate::Rate;
use herald_dispatch::record::Record;
use herald_dispatch::work::{Delivery, Origin, Work};

use crate::clock::{MINUTE, SECOND};
use crate::database::rows::{EventRow, Key, SubscriptionRow};
use crate::witness::{Life, Pair, Shown, number};
use crate::world::World;

impl World {
    /// Notes that another worker starts.
    pub fn begin_life(&mut self) {
        self.witness.life = Life::default();
        self.witness.disturbed(self.clock.elapsed);
    }

    /// Notes that these events are visible from now on.
    pub fn committed(&mut self, seqs: impl IntoIterator<Item = i64>) {
        for seq in seqs {
            let Some(event) = self.database.tables.events.get(&seq) else {
                continue;
            };
            for (id, row) in self.database.tables.subscriptions.iter() {
                if row.is_certain_of(event) && row.is_active() {
                    let open = self.witness.open.entry(*id).or_default();
                    open.insert((event.committed_at, seq));
                }
            }
        }
    }

    /// Notes that the server crashed and these events are gone with their commits.
    pub fn undone(&mut self, gone: &[EventRow]) {
        for row in gone {
            let uid = number(&row.event.uid);
            if self.witness.sent.contains(&uid) {
                self.witness.blame(format!(
                    "event {uid} was sent, and a crash undid its commit"
                ));
            }
        }
        self.witness.open.clear();
        let seqs: Vec<i64> = self.database.tables.events.keys().copied().collect();
        self.committed(seqs);
        let tables = &self.database.tables;
        for (id, open) in &mut self.witness.open {
            open.retain(|(_, seq)| !tables.is_done((*id, *seq)));
        }
    }

    /// Notes that a delivery is handed over.
    pub(crate) fn sent(&mut self, delivery: &Delivery, is_taken: bool) {
        let id = delivery.subscription.id;
        let uid = number(&delivery.event.uid);
        if let Err(fault) = self.judge_sending(delivery, uid) {
            let seq = delivery.event.seq;
            self.witness
                .blame(format!("event {seq} ({uid}) goes to {id}: {fault}"));
        }
        self.witness.sent.insert(uid);
        self.witness.pairs.entry((uid, id)).or_default().taken += u32::from(is_taken);
        let tenant = delivery.agent.tenant.clone();
        let (wall, life) = (self.clock.wall(), &mut self.witness.life);
        life.under_way.insert((uid, id));
        *life.in_flight.entry(id).or_default() += 1;
        let config = &delivery.subscription;
        if config.rate.is_some() || config.rate_limit.is_some() {
            life.sent_at.entry(id).or_default().push_back(wall);
        }
        if let Some(tenant) = tenant {
            *life.in_flight_of_tenant.entry(tenant.clone()).or_default() += 1;
            let quota = self.witness.known_quotas.get(&tenant);
            if quota.is_some_and(|quota| quota.rate_limit.is_some()) {
                let sent_at = life.sent_at_of_tenant.entry(tenant.clone());
                sent_at.or_default().push_back(wall);
            }
            let has_account = quota.is_some();
            if delivery.is_new_this_month() && has_account {
                *life.begun.entry(tenant).or_default() += 1;
            }
        }
    }

    /// Returns an error if sending this now is wrong.
    fn judge_sending(&self, delivery: &Delivery, uid: u64) -> Result<(), String> {
        let (id, event) = (delivery.subscription.id, &delivery.event);
        let row = self.database.tables.events.get(&event.seq);
        let row = row
            .filter(|row| row.event == **event)
            .ok_or("it is not in the log, or another one")?;
        let known = self
            .known
            .get(&id)
            .ok_or("the worker knows of no such subscription")?;
        if !known.is_active() {
            return Err("it is held or gone".into());
        }
        if delivery.subscription.generation < known.config.generation {
            return Err("it goes to a former URL".into());
        }
        let pair = self
            .witness
            .pairs
            .get(&(uid, id))
            .copied()
            .unwrap_or_default();
        if !pair.is_excused {
            let now = self.database.tables.subscriptions.get(&id).unwrap_or(known);
            if !known.wants(row) || !known.may_get(row, now) {
                return Err("it does not match".into());
            }
            if event
                .deliver_at_micros
                .is_some_and(|at| at > self.clock.wall() + self.witness.late_by)
            {
                return Err("its time has not come".into());
            }
            self.judge_repetition((uid, id), (id, event.seq))?;
            self.judge_order(row, known)?;
        }
        self.judge_suspicion(delivery.place())?;
        self.judge_limits(delivery, known)
    }

    fn judge_repetition(&self, pair: Pair, key: Key) -> Result<(), String> {
        let life = &self.witness.life;
        if life.under_way.contains(&pair) {
            Err("it is under way already".into())
        } else if life.heard.contains(&pair) {
            Err("it was delivered before".into())
        } else if self.database.tables.is_delivered(key) {
            Err("its delivery is on record".into())
        } else {
            Ok(())
        }
    }

    /// Returns an error if an event that comes before this one in its key is neither delivered nor dead.
    fn judge_order(&self, row: &EventRow, known: &SubscriptionRow) -> Result<(), String> {
        let Some(ordering) = known.config.ordering else {
            return Ok(());
        };
        let key_of = |event: &Event| match event.deliver_at_micros {
            None => ordering.by.number(event),
            // What is scheduled follows nothing.
            Some(_) => None,
        };
        let Some(key) = key_of(&row.event) else {
            return Ok(());
        };
        let (id, tables) = (known.config.id, &self.database.tables);
        let mut letters = tables.blocking.range((id, i64::MIN)..(id, row.event.seq));
        if letters.any(|(_, letter)| letter.key == key && letter.at <= row.event.seq) {
            return Err("a dead letter holds its key".into());
        }
        let earlier = tables.events.values().filter(|earlier| {
            // Whoever drew the number could see that the other one had committed.
            earlier.order <= row.drawn_after
                && earlier.event.seq != row.event.seq
                && key_of(&earlier.event) == Some(key)
                && known.is_certain_of(earlier)
        });
        for earlier in earlier {
            let uid = number(&earlier.event.uid);
            let pair = (uid, id);
            let is_over = self.witness.life.heard.contains(&pair)
                || tables.is_delivered((id, earlier.event.seq))
                || tables.dead.contains_key(&(id, earlier.event.seq))
                || self
                    .witness
                    .pairs
                    .get(&pair)
                    .is_some_and(|pair| pair.is_excused);
            if !is_over {
                return Err(format!(
                    "event {} of its key comes before it",
                    earlier.event.seq
                ));
            }
        }
        Ok(())
    }

    fn judge_limits(&self, delivery: &Delivery, known: &SubscriptionRow) -> Result<(), String> {
        let (id, wall, life) = (known.config.id, self.clock.wall(), &self.witness.life);
        let in_flight = life.in_flight.get(&id).copied().unwrap_or(0);
        let is_proven = life
            .succeeded_at
            .get(&id)
            .is_some_and(|at| wall < at + MINUTE);
        let most = if is_proven {
            known.config.max_concurrency
        } else {
            1
        };
        if in_flight >= most {
            return Err(format!("{in_flight} are under way, and {most} may be"));
        }
        let spared = life.spared.get(&id).copied().unwrap_or(i64::MIN);
        if wall < spared {
            return Err(format!(
                "its receiver is to be spared for {} us",
                spared - wall
            ));
        }
        if let (Some(rate), Some(sent_at)) = (known.config.rate, life.sent_at.get(&id)) {
            let lately = sent_at
                .iter()
                .filter(|at| **at > wall - MINUTE && **at <= wall)
                .count();
            if lately as u32 > rate + rate / 60 {
                return Err(format!("{lately} were sent in a minute, and {rate} may be"));
            }
        }
        if let (Some(rate), Some(sent_at)) = (known.config.rate_limit, life.sent_at.get(&id)) {
            judge_rate(rate, sent_at, wall)?;
        }
        if let (Some(policy), Some(shown)) = (&known.config.breaker, life.shown.get(&id)) {
            let shown = shown
                .iter()
                .filter(|shown| shown.generation == known.config.generation);
            judge_breaker(policy, &shown.copied().collect::<Vec<_>>(), in_flight, wall)?;
        }
        self.judge_plan(delivery)
    }

    fn judge_plan(&self, delivery: &Delivery) -> Result<(), String> {
        let Some(tenant) = &delivery.agent.tenant else {
            return Ok(());
        };
        let Some(quota) = self.witness.known_quotas.get(tenant) else {
            return Ok(());
        };
        let life = &self.witness.life;
        let connections = life.in_flight_of_tenant.get(tenant).copied().unwrap_or(0);
        if quota
            .max_connections
            .is_some_and(|most| connections >= most)
        {
            return Err(format!("its tenant has {connections} connections already"));
        }
        if let (Some(rate), Some(sent_at)) = (quota.rate_limit, life.sent_at_of_tenant.get(tenant))
        {
            judge_rate(rate, sent_at, self.clock.wall())?;
        }
        let used = self
            .database
            .tables
            .quotas
            .get(tenant)
            .map_or(0, |now| now.events);
        let begun = life.begun.get(tenant).copied().unwrap_or(0);
        let is_over = quota
            .events_per_month
            .is_some_and(|most| used + begun >= most);
        if delivery.is_new_this_month() && is_over {
            return Err(format!(
                "its tenant has used {used}, and {begun} are under way"
            ));
        }
        Ok(())
    }

    /// Notes that the worker hears the outcome of a request.
    pub(crate) fn heard(&mut self, work: &Work, outcome: &Outcome) {
        if let Work::Probe(probe) = work {
            let shown = Shown {
                at: self.clock.wall(),
                is_down: !shows_up(outcome),
                generation: probe.subscription.generation,
            };
            let life = &mut self.witness.life;
            life.shown
                .entry(probe.subscription.id)
                .or_default()
                .push_back(shown);
        }
        let Work::Delivery(delivery) = work else {
            return;
        };
        let id = delivery.subscription.id;
        let pair = (number(&delivery.event.uid), id);
        let (wall, life) = (self.clock.wall(), &mut self.witness.life);
        life.under_way.remove(&pair);
        if let Some(in_flight) = life.in_flight.get_mut(&id) {
            *in_flight = in_flight.saturating_sub(1);
        }
        if let Some(tenant) = &delivery.agent.tenant {
            if let Some(in_flight) = life.in_flight_of_tenant.get_mut(tenant) {
                *in_flight = in_flight.saturating_sub(1);
            }
            if outcome.is_own_shortage() && delivery.is_new_this_month() {
                let begun = life.begun.entry(tenant.clone()).or_default();
                *begun = (*begun - 1).max(0);
            }
        }
        if let (Some(_), Some(is_down)) = (&delivery.subscription.breaker, shows_down(outcome)) {
            life.shown.entry(id).or_default().push_back(Shown {
                at: wall,
                is_down,
                generation: delivery.subscription.generation,
            });
        }
        if outcome.is_success() {
            life.heard.insert(pair);
            life.succeeded_at.insert(id, wall);
            life.progress_at.insert(id, self.clock.elapsed);
        }
        if outcome.status == Some(410) {
            self.witness.gone.insert(id);
        }
        let life = &mut self.witness.life;
        if let Some(until) = lane_delay_until(outcome, wall) {
            let spared = life.spared.entry(id).or_insert(until);
            *spared = (*spared).max(until);
        }
    }

    pub(crate) fn witness_records(&mut self, written: &[Record]) {
        for record in written {
            let (id, seq) = (record.delivery.subscription.id, record.delivery.event.seq);
            if let (Some(open), Some(row)) = (
                self.witness.open.get_mut(&id),
                self.database.tables.events.get(&seq),
            ) {
                open.remove(&(row.committed_at, seq));
            }
            let is_of_window = matches!(record.delivery.origin, Origin::Window(_));
            if is_of_window && record.is_pending() && record.attempt.is_none() {
                self.witness.spilled.insert((id, seq));
            }
        }
    }
}

impl World {
    /// Returns when the first event was committed that certainly goes to the subscription and is not recorded.
    pub fn waits_since(&mut self, id: i64) -> Option<i64> {
        let (open, tables) = (self.witness.open.get_mut(&id)?, &self.database.tables);
        let row = tables.subscriptions.get(&id)?;
        while let Some((at, seq)) = open.first().copied() {
            let event = tables.events.get(&seq);
            let is_certain = event.is_some_and(|event| row.is_certain_of(event));
            if is_certain && !tables.is_done((id, seq)) {
                return Some(at);
            }
            open.pop_first();
        }
        None
    }
}

impl SubscriptionRow {
    /// Returns whether the subscription certainly gets the event: the event became visible after the subscription.
    pub fn is_certain_of(&self, row: &EventRow) -> bool {
        let is_in_time = if row.xid == self.created_xid {
            row.event.seq > self.created_seq
        } else {
            row.order > self.certain_from
        };
        self.wants(row) && is_in_time && row.order < self.certain_until
    }

    /// Returns whether the subscription, as it is now, may get the event.
    fn may_get(&self, row: &EventRow, now: &SubscriptionRow) -> bool {
        let is_early = if row.xid == self.created_xid {
            row.event.seq <= self.created_seq
        } else {
            self.created_snapshot.shows(row.xid)
        };
        let is_late = now.disabled_xid.is_some() && row.order > now.certain_until;
        !is_early && !is_late
    }
}

/// Returns an error if another delivery must not be sent, as the breaker is certainly open: of the last attempts, so many
/// failed within the window, and none succeeded for longer than that.
fn judge_breaker(
    policy: &BreakerPolicy,
    shown: &[Shown],
    in_flight: usize,
    wall: i64,
) -> Result<(), String> {
    let failures = shown.iter().rev().take_while(|shown| shown.is_down);
    let failures: Vec<i64> = failures.map(|shown| shown.at).collect();
    let last = failures.first().copied().unwrap_or(i64::MIN);
    let succeeded_at = shown.iter().rev().find(|shown| !shown.is_down);
    let is_long_ago =
        succeeded_at.is_none_or(|shown| shown.at < last.saturating_sub(4 * policy.window));
    let needed = failures.get(policy.failures as usize - 1);
    let is_open = needed.is_some_and(|at| last.saturating_sub(*at) < policy.window / 2);
    if !is_open || !is_long_ago {
        return Ok(());
    }
    if policy.probe_with != ProbeWith::Delivery {
        return Err("its breaker is open, and another probe is wanted".into());
    }
    if in_flight > 0 || wall < last.saturating_add(policy.probe) {
        let waited = wall.saturating_sub(last);
        return Err(format!(
            "its breaker is open, {in_flight} are under way, and the last failed {waited} us ago"
        ));
    }
    Ok(())
}

/// Returns an error if another request in this second exceeds a rate. The clock may have been set back.
fn judge_rate(rate: Rate, sent_at: &VecDeque<i64>, wall: i64) -> Result<(), String> {
    let lately = sent_at.iter().rev().take(2_000);
    let lately = lately
        .filter(|at| **at > wall - SECOND && **at <= wall)
        .count();
    let most = rate.most_within(SECOND);
    if lately >= most {
        return Err(format!("{lately} were sent in a second, and {most} may be"));
    }
    Ok(())
}
