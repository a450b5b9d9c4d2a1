//! An HTTP endpoint on loopback that records every request and misbehaves on demand.
//!
//! ```
//! use herald_trial::{Mode, Receiver};
//! use std::time::Duration;
//!
//! let receiver = Receiver::start()?;
//! receiver.set_mode(Mode::flaky(2, 3));
//! receiver.set_mode_at("/slow", Mode::hang_before_answer());
//! // subscribe to receiver.url("/hook"), change something, then:
//! // receiver.wait_for(100, Duration::from_secs(10));
//! assert!(receiver.requests().is_empty());
//! # Ok::<(), herald_trial::Error>(())
//! ```
//!
//! Each connection has its own thread, so a hanging connection blocks no other.

mod builder;
mod connection;
mod hostile;
mod ledger;
mod listener;
mod mode;
mod request;
mod shared;
mod tls;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::builder::Builder;
pub use self::ledger::{Keep, Tally};
use self::listener::Listener;
pub use self::mode::{Answer, Breakage, Counted, CustomAnswer, Mode, Moment};
pub use self::request::{Request, Signature};
use self::shared::Shared;
pub use self::tls::{Authority, ClientIdentity, Flaw, Tls};
use crate::error::Result;

pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// None while the port is closed.
    listener: Mutex<Option<Listener>>,
}

impl Receiver {
    /// Starts a receiver with plain HTTP that answers 200 and checks no signatures.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the URL of a path that starts with a slash.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}{path}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets the mode of all paths without their own, from the next request on.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.modes().default = mode;
    }

    /// Sets the mode of one path, compared without the query string.
    pub fn set_mode_at(&self, path: &str, mode: Mode) {
        self.shared.modes().by_path.insert(path.to_owned(), mode);
    }

    /// Closes the port and every connection; the operating system then refuses connections.
    pub fn down(&self) {
        drop(self.listener().take());
        self.shared.shut_connections();
    }

    /// Reopens the same port.
    pub fn up(&self) -> Result<()> {
        let mut listener = self.listener();
        if listener.is_none() {
            *listener = Some(Listener::open(self.address, &self.shared)?);
        }
        Ok(())
    }

    /// Ends the open connections, idle or not, but accepts new ones.
    pub fn shut_connections(&self) {
        self.shared.shut_connections();
    }

    /// Returns all complete requests so far, in the order of recording.
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.shared.ledger.book().requests.clone()
    }

    /// Returns the requests with this webhook-id.
    pub fn requests_of(&self, webhook_id: &str) -> Vec<Arc<Request>> {
        let mut requests = self.requests();
        requests.retain(|request| request.webhook_id.as_deref() == Some(webhook_id));
        requests
    }

    pub fn total(&self) -> u64 {
        self.shared.ledger.book().total
    }

    pub fn distinct_ids(&self) -> BTreeSet<String> {
        self.shared.ledger.book().ids.keys().cloned().collect()
    }

    /// Returns how many webhook-ids were answered with a 2xx at least once.
    pub fn accepted(&self) -> usize {
        self.shared
            .ledger
            .book()
            .ids
            .values()
            .filter(|tally| tally.accepted > 0)
            .count()
    }

    /// Returns the account of every webhook-id.
    pub fn tallies(&self) -> HashMap<String, Tally> {
        self.shared.ledger.book().ids.clone()
    }

    pub fn attempts(&self, webhook_id: &str) -> u32 {
        self.shared
            .ledger
            .book()
            .ids
            .get(webhook_id)
            .map_or(0, |tally| tally.attempts)
    }

    /// Returns the webhook-ids accepted more than once, with counts; a retry after a failure is no duplicate.
    pub fn duplicates(&self) -> Vec<(String, u32)> {
        let book = self.shared.ledger.book();
        let twice = book.ids.iter().filter(|(_, tally)| tally.accepted > 1);
        twice
            .map(|(id, tally)| (id.clone(), tally.accepted))
            .collect()
    }

    pub fn invalid_signatures(&self) -> u64 {
        self.shared.ledger.book().invalid_signatures
    }

    /// Returns how many connections were ever accepted, including those that carried no request.
    pub fn connections(&self) -> u64 {
        self.shared.connections()
    }

    /// Resets the accounts.
    pub fn forget(&self) {
        self.shared.ledger.forget();
    }

    /// Waits until `distinct` webhook-ids were accepted; panics with the accounts after the deadline.
    #[track_caller]
    pub fn wait_for(&self, distinct: usize, deadline: Duration) {
        let what = format!("{distinct} accepted webhook-ids");
        self.wait_until(&what, |receiver| receiver.accepted() >= distinct, deadline);
    }

    /// Waits until `holds`, checked after each request; panics with `what` and the accounts after the deadline.
    #[track_caller]
    pub fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool, deadline: Duration) {
        if !self.holds_within(deadline, holds) {
            panic!("timed out after {deadline:?} waiting for {what}; the last state was {self:?}");
        }
    }

    /// Waits like [`Receiver::wait_until`], for callers that continue without it.
    pub fn holds_within(&self, deadline: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        self.shared.ledger.wait_until(deadline, || holds(self))
    }

    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Builder {
    pub fn start(self) -> Result<Receiver> {
        let (address, shared) = self.prepare()?;
        let receiver = Receiver {
            shared,
            address,
            listener: Mutex::new(None),
        };
        receiver.up()?;
        Ok(receiver)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.close();
        self.down();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.shared.ledger.book();
        f.debug_struct("Receiver")
            .field("address", &self.address)
            .field("requests", &book.total)
            .field("distinct_ids", &book.ids.len())
            .field(
                "accepted_ids",
                &book.ids.values().filter(|tally| tally.accepted > 0).count(),
            )
            .field("invalid_signatures", &book.invalid_signatures)
            .field("connections", &self.shared.connections())
            .finish_non_exhaustive()
    }
}
