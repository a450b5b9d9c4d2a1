//! What one subscription's receiver heard, recorded by the demo, not by pg_herald.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fact::Fact;
use crate::receiver::{Request, Signature};

/// The receipt that [`Book::drop_one`] forgets.
const DROPPED: usize = 100;

#[derive(Debug, Clone, Default)]
pub struct Book(Arc<Mutex<Pages>>);

/// All requests that carried one webhook-id.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub fact: Fact,
    pub received: u32,
    /// Requests answered with a 2xx.
    pub accepted: u32,
    /// The first acceptance, in microseconds since 1970.
    pub accepted_at_micros: Option<i64>,
}

/// The running totals, cheap enough for every look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    /// Distinct webhook-ids that were accepted.
    pub accepted: u64,
    /// Requests beyond the first of their webhook-id.
    pub retries: u64,
    pub invalid_signatures: u64,
}

#[derive(Debug, Default)]
struct Pages {
    receipts: HashMap<String, Receipt>,
    counts: Counts,
    drops_one: bool,
    prints: Option<&'static str>,
}

impl Book {
    /// Makes the book forget one receipt, although the receiver answers it like any other.
    pub fn drop_one(&self) {
        self.pages().drops_one = true;
    }

    /// Prints each receipt from now on, prefixed with this name.
    pub fn print(&self, name: &'static str) {
        self.pages().prints = Some(name);
    }

    pub fn enter(&self, request: &Request) {
        let fact = Fact::in_request(request);
        let mut pages = self.pages();
        if pages.drops_one && pages.receipts.len() == DROPPED {
            pages.drops_one = false;
            return;
        }
        if let Some(name) = pages.prints {
            let answer = if request.accepted {
                "accepted"
            } else {
                "refused"
            };
            println!(
                "{name:>8} {answer} attempt {} of {fact:.150}",
                request.attempt
            );
        }
        pages.enter(request, fact);
    }

    pub fn counts(&self) -> Counts {
        self.pages().counts
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        self.pages().receipts.values().cloned().collect()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn enter(&mut self, request: &Request, fact: Fact) {
        // Without a webhook-id, a request cannot be recognized as a duplicate: each is its own receipt.
        let id = request
            .webhook_id
            .clone()
            .unwrap_or_else(|| format!("without webhook-id: {}", self.counts.requests));
        let receipt = self.receipts.entry(id).or_insert(Receipt {
            fact,
            received: 0,
            accepted: 0,
            accepted_at_micros: None,
        });
        receipt.received += 1;
        self.counts.requests += 1;
        self.counts.retries += u64::from(receipt.received > 1);
        self.counts.invalid_signatures += u64::from(request.signature != Signature::Valid);
        if request.accepted {
            receipt.accepted += 1;
            receipt.accepted_at_micros.get_or_insert(request.at_micros);
            self.counts.accepted += u64::from(receipt.accepted == 1);
        }
    }
}
