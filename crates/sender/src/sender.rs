//! The interface: works go in, attempts with their outcomes come out. Nothing here blocks except [`Sender::shutdown`],
//! which blocks at most until its deadline.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender as ChannelSender, bounded};

use crate::agents::Agents;
use crate::dns::Dns;
use crate::error::Error;
use crate::resolver::PolicedResolver;
use crate::settings::Settings;
use crate::thread::{Shared, send_until_closed};
use crate::tls::Trust;
use crate::tokens::Tokens;
use crate::wake::{Wake, Waker};
use crate::work::{Attempted, Prepare};

/// Half of Rust's default; nothing here recurses.
const SEND_STACK: usize = 1024 * 1024;
/// `getaddrinfo` runs whichever modules the system has.
const DNS_STACK: usize = 512 * 1024;

/// What remains when the sender ends.
#[derive(Debug)]
pub struct Leftover<P> {
    /// Attempts that ended in time, to be recorded.
    pub attempted: Vec<Attempted<P>>,
    /// Works that no thread had taken: certainly not sent.
    pub unsent: Vec<P>,
    /// Works still under way. Whether they arrived is unknown, so they must be sent again.
    pub abandoned: usize,
}

/// A fixed pool of sending threads.
pub struct Sender<P: Prepare> {
    works: Option<ChannelSender<P>>,
    /// The threads' end of the works channel, to take back untaken works.
    untaken: Receiver<P>,
    attempted: Receiver<Attempted<P>>,
    in_flight: AtomicUsize,
    capacity: usize,
    shared: Arc<Shared>,
}

impl<P: Prepare> Sender<P> {
    /// Spawns all threads at once, so that the caller can block signals around this one call.
    ///
    /// Calls `waker` on a sending thread when outcomes are ready, once for all that gather after a call of
    /// [`outcomes`](Self::outcomes). The waker must neither block nor panic.
    pub fn start(settings: Settings, waker: Waker) -> Result<Self, Error> {
        let trust = Trust::load(settings.ca_file.as_deref())?;
        let lookup = settings.lookup_or_system();
        let dns = Dns::start(settings.dns_threads, DNS_STACK, settings.dns_ttl, lookup)
            .map_err(Error::Thread)?;
        let proxy = settings.proxy.map(Arc::new);
        let resolver = PolicedResolver::new(Arc::new(dns), settings.url_policy, proxy.clone());
        let tenant_resolver = resolver.with_policy(settings.tenant_url_policy);
        let threads = settings.threads.max(1);
        let capacity = threads + settings.queue;
        let shared = Arc::new(Shared {
            agents: Agents::new(
                threads,
                trust,
                [resolver, tenant_resolver],
                settings.source_address,
                proxy,
                settings.max_descriptor,
            ),
            tokens: Tokens::default(),
            wake: Wake::new(waker),
            response_cap: settings.response_cap,
        });
        // Neither channel can be full: each holds as many works as are accepted.
        let (works, untaken) = bounded(capacity);
        let (outcomes, attempted) = bounded(capacity);
        for number in 0..threads {
            let (shared, untaken, outcomes) =
                (Arc::clone(&shared), untaken.clone(), outcomes.clone());
            thread::Builder::new()
                .name(format!("herald-send-{number}"))
                .stack_size(SEND_STACK)
                .spawn(move || send_until_closed(number, &shared, &untaken, &outcomes))
                .map_err(Error::Thread)?;
        }
        Ok(Self {
            works: Some(works),
            untaken,
            attempted,
            in_flight: AtomicUsize::new(0),
            capacity,
            shared,
        })
    }

    /// Gives a work to the threads. Returns it if `threads + queue` works are already in flight or the sender is
    /// closed. Never blocks.
    pub fn send(&self, work: P) -> Result<(), P> {
        let Some(works) = &self.works else {
            return Err(work);
        };
        if self.in_flight() >= self.capacity {
            return Err(work);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        works.try_send(work).map_err(|refused| {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            refused.into_inner()
        })
    }

    /// Returns the outcomes that are ready now. Never blocks.
    ///
    /// Call it after clearing whatever the waker sets (the eventfd): the call first lowers the flag that suppresses
    /// further wake-ups, and only then looks into the channel. A caller that stops before the end must come back
    /// without being woken.
    pub fn outcomes(&self) -> Outcomes<'_, P> {
        self.shared.wake.rearm();
        Outcomes { sender: self }
    }

    /// Returns the number of accepted works that have not come back through [`outcomes`](Self::outcomes).
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns how many certificate authorities are trusted; with none, no https request can succeed.
    pub fn trusted_authorities(&self) -> usize {
        self.shared.agents.trusted_authorities()
    }

    /// Accepts no more works and returns those that no thread has taken. Those under way continue, and so do their
    /// outcomes. Never blocks.
    pub fn close(&mut self) -> Vec<P> {
        self.works = None;
        let unsent: Vec<P> = self.untaken.try_iter().collect();
        self.in_flight.fetch_sub(unsent.len(), Ordering::Relaxed);
        unsent
    }

    /// Ends the sender: takes back works that were not begun, waits for the others until `deadline`, and interrupts the
    /// rest.
    ///
    /// Joins no thread. The interrupted ones end by themselves; a thread that looks up a name or dials ends when the
    /// system lets go of it.
    pub fn shutdown(mut self, deadline: Instant) -> Leftover<P> {
        let unsent = self.close();
        let mut attempted = Vec::with_capacity(self.in_flight());
        while self.in_flight() > 0
            && let Ok(next) = self.attempted.recv_deadline(deadline)
        {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            attempted.push(next);
        }
        Leftover {
            attempted,
            unsent,
            abandoned: self.in_flight(),
        }
    }
}

/// Interrupts works still under way, so that no thread outlives the sender by a request's timeout.
impl<P: Prepare> Drop for Sender<P> {
    fn drop(&mut self) {
        self.close();
        self.shared.agents.interrupt();
    }
}

impl<P: Prepare> fmt::Debug for Sender<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sender")
            .field("in_flight", &self.in_flight())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// The outcomes that are ready, see [`Sender::outcomes`].
#[derive(Debug)]
#[must_use = "outcomes that are not taken hold up further works"]
pub struct Outcomes<'a, P: Prepare> {
    sender: &'a Sender<P>,
}

impl<P: Prepare> Iterator for Outcomes<'_, P> {
    type Item = Attempted<P>;

    fn next(&mut self) -> Option<Attempted<P>> {
        let attempted = self.sender.attempted.try_recv().ok()?;
        self.sender.in_flight.fetch_sub(1, Ordering::Relaxed);
        Some(attempted)
    }
}
