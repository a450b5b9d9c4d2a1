//! A row of the table: one endpoint, and what must be recorded about deliveries to it.

use std::any::Any;

use herald_trial::{Mode, Receiver};

use crate::common::receiver_with;

/// The delay of an attempt if the receiver does not say when to come again.
pub const SCHEDULED: i64 = 600;

pub struct Row {
    /// Also the name of its subscription.
    pub name: String,
    pub url: String,
    /// Delivery state, status, error class.
    pub recorded: &'static str,
    /// What the error says, or the response if there is no error.
    pub words: &'static str,
    /// Seconds until the next attempt, if retried.
    pub waits: Option<i64>,
    /// The listener; it ends with the row.
    endpoint: Box<dyn Any>,
}

impl Row {
    pub fn new(name: &str, mode: Mode, recorded: &'static str, words: &'static str) -> Self {
        let receiver = receiver_with(mode);
        let url = receiver.url("/");
        Self::at(name, url, receiver, recorded, words)
    }

    pub fn at(
        name: &str,
        url: String,
        endpoint: impl Any,
        recorded: &'static str,
        words: &'static str,
    ) -> Self {
        Self {
            name: name.replace(' ', "_"),
            url,
            recorded,
            words,
            waits: None,
            endpoint: Box::new(endpoint),
        }
    }

    /// Returns how many requests the endpoint read to their end; none if it is not a receiver.
    pub fn requests(&self) -> Option<u64> {
        self.endpoint
            .downcast_ref::<Receiver>()
            .map(Receiver::total)
    }
}
