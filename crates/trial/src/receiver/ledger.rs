//! The receiver's accounts: what came in, how often, and whether its signature was valid.
//!
//! An entry is complete, and on disk if a log file is set, before the first byte of the answer leaves. So the ledger
//! has everything that a sender counts as delivered, whatever happens to the sender.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use standardwebhooks::Webhook;

use super::request::{Request, Signature};
use crate::error::{Error, Result};

/// Limits each wait, because `holds` may look at things that make no record.
const LONGEST_NAP: Duration = Duration::from_millis(100);

/// How much of each request stays in memory. Counts by webhook-id always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    #[default]
    Everything,
    /// Requests without their bodies.
    Heads,
    /// No requests at all: for load.
    Counts,
}

/// The account of one webhook-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub attempts: u32,
    /// Attempts that the receiver decided to answer with a 2xx.
    pub accepted: u32,
    pub first_at_micros: i64,
}

pub(super) struct Ledger {
    secret: Option<Webhook>,
    keep: Keep,
    log: Option<Mutex<File>>,
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) requests: Vec<Arc<Request>>,
    pub(super) ids: HashMap<String, Tally>,
    pub(super) total: u64,
    pub(super) invalid_signatures: u64,
}

impl Ledger {
    pub(super) fn open(secret: Option<&str>, keep: Keep, log: Option<&Path>) -> Result<Self> {
        let secret = secret
            .map(Webhook::new)
            .transpose()
            .map_err(|error| Error::Setup(format!("the receiver's secret: {error}")))?;
        let log = log
            .map(|path| File::options().create(true).append(true).open(path))
            .transpose()
            .map_err(Error::io("opening the receiver's log"))?;
        Ok(Self {
            secret,
            keep,
            log: log.map(Mutex::new),
            book: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Counts the attempt and checks the signature. The answer is decided between this and [`Self::record`].
    pub(super) fn admit(&self, request: &mut Request) {
        request.signature = self.check_signature(request);
        if let Some(id) = &request.webhook_id {
            let mut book = self.book();
            let tally = book.ids.entry(id.clone()).or_default();
            tally.attempts += 1;
            request.attempt = tally.attempts;
            if tally.attempts == 1 {
                tally.first_at_micros = request.at_micros;
            }
        }
    }

    /// Records the request; only then may it be answered.
    pub(super) fn record(&self, mut request: Request) -> io::Result<()> {
        if let Some(log) = &self.log {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.write_all(line(&request).as_bytes())?;
            log.sync_data()?;
        }
        let mut book = self.book();
        book.total += 1;
        book.invalid_signatures += u64::from(matches!(request.signature, Signature::Invalid(_)));
        if let (true, Some(id)) = (request.accepted, &request.webhook_id) {
            book.ids.entry(id.clone()).or_default().accepted += 1;
        }
        if self.keep == Keep::Heads {
            request.body = Vec::new();
        }
        if self.keep != Keep::Counts {
            book.requests.push(Arc::new(request));
        }
        drop(book);
        self.changed.notify_all();
        Ok(())
    }

    /// Checks `holds` after each record, and periodically without one, until it is true. Returns false after the
    /// deadline.
    pub(super) fn wait_until(&self, deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + deadline;
        loop {
            let seen = self.book().total;
            if holds() {
                return true;
            }
            let book = self.book();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let nap = left.min(LONGEST_NAP);
            drop(
                self.changed
                    .wait_timeout_while(book, nap, |book| book.total == seen),
            );
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self) {
        *self.book() = Book::default();
    }

    fn check_signature(&self, request: &Request) -> Signature {
        let Some(webhook) = &self.secret else {
            return Signature::Unchecked;
        };
        match webhook.verify(&request.body, &header_map(request)) {
            Ok(()) => Signature::Valid,
            Err(error) => Signature::Invalid(error.to_string()),
        }
    }
}

fn header_map(request: &Request) -> HeaderMap {
    let parsed = request.headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    });
    parsed.collect()
}

fn line(request: &Request) -> String {
    let line = json!({
        "at_micros": request.at_micros,
        "method": request.method,
        "path": request.path,
        "webhook_id": request.webhook_id,
        "attempt": request.attempt,
        "signature": match &request.signature {
            Signature::Unchecked => "unchecked",
            Signature::Valid => "valid",
            Signature::Invalid(why) => why,
        },
        "accepted": request.accepted,
        "body": request.text(),
    });
    format!("{line}\n")
}
