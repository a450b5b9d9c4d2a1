//! The worker's side of `ping()`: test requests go past the lanes, and their answers into the mailbox.

use super::{Worker, now_micros};
use crate::pg::{identity, mailbox, shmem};
use crate::ping;
use herald_core::outcome::{ErrorClass, Outcome};
use std::time::Duration;

/// When there is a look again whether a thread or a connection has become free.
const FOR_A_THREAD: Duration = Duration::from_millis(100);

impl Worker {
    /// Sends the test requests that sessions asked for. Those for which there is no thread or connection wait, as long as
    /// somebody waits for them: the mailbox bounds how many these are, for a subscription and for a role.
    pub(super) fn send_pings(&mut self) {
        let Some(entry) = shmem::own_entry() else {
            return;
        };
        if self.waiting_pings.is_empty() && !entry.is_called() {
            return;
        }
        entry.answer();
        let mut asked = std::mem::take(&mut self.waiting_pings);
        asked.retain(|(number, _)| mailbox::is_waited_for(*number));
        asked.extend(mailbox::take(identity::database()));
        for (number, id) in asked {
            let now = now_micros();
            let is_proven = self
                .lanes
                .get(id)
                .is_some_and(|entry| entry.lane.is_proven(now));
            let token = self.new_token();
            let Some(subscription) = self.subscriptions.by_id(id) else {
                let words = "the subscription is too new, or disabled";
                answer_without_request(number, ErrorClass::Internal, words);
                continue;
            };
            if subscription.lacks_consent {
                let words = "its receiver has not consented to deliveries";
                answer_without_request(number, ErrorClass::Blocked, words);
                continue;
            }
            let tenant = subscription.agent.tenant.clone();
            // A receiver that hangs holds no more threads and connections by pings than by deliveries.
            let may_send = self.threads.has_room_for(id, is_proven)
                && self.tenants.has_connection(tenant.as_deref(), id);
            let ping = ping::claimed(subscription, token, now);
            if !may_send || self.sender.send(ping).is_err() {
                self.waiting_pings.push((number, id));
                continue;
            }
            self.threads.start(token, id, is_proven, now);
            self.tenants.begin(tenant.as_deref(), false);
            self.pings.insert(token, number);
        }
    }

    /// How long no ping has to be looked at.
    pub(super) fn until_ping(&self) -> Option<Duration> {
        (!self.waiting_pings.is_empty()).then_some(FOR_A_THREAD)
    }

    pub(super) fn answer_ping(&mut self, token: u64, outcome: &Outcome) {
        if let Some(number) = self.pings.remove(&token) {
            mailbox::answer(number, &ping::answer(outcome));
        }
    }
}

fn answer_without_request(number: u64, class: ErrorClass, words: &str) {
    let outcome = Outcome::failed(class, words, Duration::ZERO);
    mailbox::answer(number, &ping::answer(&outcome));
}
