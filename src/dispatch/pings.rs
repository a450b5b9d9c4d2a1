//! The worker's side of `ping()`: test requests go past the lanes, and their answers into the mailbox.

use super::{Worker, now_micros};
use crate::pg::{identity, mailbox, shmem};
use crate::ping;
use herald_core::outcome::{ErrorClass, Outcome};
use std::time::Duration;

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
            if !self.threads.has_room_for(id, is_proven) {
                self.waiting_pings.push((number, id));
                continue;
            }
            let token = self.new_token();
            let sent = match self.subscriptions.by_id(id) {
                Some(one) => self.sender.send(ping::claimed(one, token, now)).is_ok(),
                None => false,
            };
            if sent {
                self.threads.start(token, id, is_proven, now);
                self.pings.insert(token, number);
            } else {
                let words = "the worker has no free thread, or does not know the subscription yet";
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
