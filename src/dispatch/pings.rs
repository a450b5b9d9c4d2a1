//! The worker's side of `ping()`: test requests go past the lanes, and their answers into the mailbox.

use super::{Worker, now_micros};
use crate::pg::{identity, mailbox, shmem};
use crate::ping;
use herald_core::outcome::{ErrorClass, Outcome};
use std::time::Duration;

/// So many test requests wait for a thread; who asked for one may have gone.
const MOST_WAITING: usize = 16;

impl Worker {
    /// Sends the test requests that sessions asked for.
    pub(super) fn send_pings(&mut self) {
        let Some(entry) = shmem::own_entry() else {
            return;
        };
        entry.answer();
        let mut asked = std::mem::take(&mut self.waiting_pings);
        asked.extend(mailbox::take(identity::database()));
        for (number, id) in asked {
            let now = now_micros();
            let is_proven = self
                .lanes
                .get(id)
                .is_some_and(|entry| entry.lane.is_proven(now));
            // A receiver that hangs holds no more threads by pings than by deliveries.
            if !self.threads.has_room_for(id, is_proven) && self.waiting_pings.len() < MOST_WAITING
            {
                self.waiting_pings.push((number, id));
                continue;
            }
            let token = self.new_token();
            let subscription = self.subscriptions.by_id(id);
            if subscription.is_some_and(|one| one.lacks_consent) {
                let words = "its receiver has not consented to deliveries";
                let outcome = Outcome::failed(ErrorClass::Blocked, words, Duration::ZERO);
                mailbox::answer(number, &ping::answer(&outcome));
                continue;
            }
            let tenant = subscription.and_then(|one| one.agent.tenant.clone());
            let may_send = self.threads.has_room_for(id, is_proven)
                && self.tenants.has_connection(tenant.as_deref(), id);
            let sent = subscription
                .filter(|_| may_send)
                .is_some_and(|one| self.sender.send(ping::claimed(one, token, now)).is_ok());
            if sent {
                self.threads.start(token, id, is_proven, now);
                self.tenants.begin(tenant.as_deref(), false);
                self.pings.insert(token, number);
            } else {
                let words = "the worker has no free thread, the tenant no free connection, or the subscription is too new";
                let outcome = Outcome::failed(ErrorClass::Internal, words, Duration::ZERO);
                mailbox::answer(number, &ping::answer(&outcome));
            }
        }
    }

    pub(super) fn answer_ping(&mut self, token: u64, outcome: &Outcome) {
        if let Some(number) = self.pings.remove(&token) {
            mailbox::answer(number, &ping::answer(outcome));
        }
    }
}
