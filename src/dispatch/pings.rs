//! The worker's side of `ping()`: test requests go past the lanes, and their answers into the mailbox.

use super::{Worker, now_micros};
use crate::pg::{identity, mailbox, shmem};
use crate::ping;
use herald_core::outcome::{ErrorClass, Outcome};
use std::time::Duration;

impl Worker {
    /// Sends the test requests that sessions asked for.
    pub(super) fn send_pings(&mut self) {
        if shmem::registry().is_none() {
            return;
        }
        for (number, subscription) in mailbox::take(identity::database()) {
            let now = now_micros();
            let token = self.new_token();
            let sent = match self.subscriptions.by_id(subscription) {
                Some(one) => self.sender.send(ping::claimed(one, token, now)).is_ok(),
                None => false,
            };
            if sent {
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
