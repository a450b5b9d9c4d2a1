//! The interface: works go in, attempts with their outcomes come out, and nothing here ever blocks but
//! [`Sender::shutdown`], which blocks until its deadline at most.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender as ChannelSender, bounded};
use herald_core::outcome::Outcome;
use herald_core::request::HttpRequest;

use crate::agents::Agents;
use crate::dns::Dns;
use crate::error::Error;
use crate::resolver::PolicedResolver;
use crate::settings::Settings;
use crate::thread::{Shared, send_until_closed};
use crate::tls::Trust;
use crate::tokens::Tokens;
use crate::wake::{Wake, Waker};
use herald_core::agent::AgentKey;

/// Half of Rust's default; nothing here recurses.
const SEND_STACK: usize = 1024 * 1024;
/// `getaddrinfo` runs whatever modules the system has.
const DNS_STACK: usize = 512 * 1024;

/// What the pool can send.
pub trait Prepare: Send + 'static {
    /// Builds the request, with body, timestamp and signature. Called on a sending thread just before the bytes
    /// leave, so that the signature is never older than the connection. `Err` is the outcome when it cannot be built.
    fn prepare(&mut self, now_unix: i64) -> Result<HttpRequest, Outcome>;

    /// Whose connections the request may use.
    fn agent(&self) -> AgentKey;

    /// The sending thread of this number, counted from 0, begins with it. For notes of what a thread is at, in case
    /// that the process dies; it must be quick, and must not panic.
    fn begun(&self, _thread: usize) {}

    /// The thread is done with the work that it had [`begun`](Self::begun), whatever became of that.
    fn ended(_thread: usize) {}
}

/// A work that was tried, with what became of it.
#[derive(Debug)]
pub struct Attempted<P> {
    /// The work as it was given to [`Sender::send`].
    pub work: P,
    /// What became of it.
    pub outcome: Outcome,
    /// When a thread took it, in microseconds since 1970.
    pub started_at_unix_micros: i64,
}

/// What is left when the sender ends.
#[derive(Debug)]
pub struct Leftover<P> {
    /// Attempts that were over in time, to be recorded.
    pub attempted: Vec<Attempted<P>>,
    /// Works that no thread had taken: certainly not sent.
    pub unsent: Vec<P>,
    /// So many works were still under way. Whether they arrived is unknown, so they have to be sent again.
    pub abandoned: usize,
}

/// A fixed pool of sending threads.
pub struct Sender<P: Prepare> {
    works: Option<ChannelSender<P>>,
    /// The threads' end of the works, to take back what they have not taken.
    untaken: Receiver<P>,
    attempted: Receiver<Attempted<P>>,
    in_flight: AtomicUsize,
    capacity: usize,
    shared: Arc<Shared>,
}

impl<P: Prepare> Sender<P> {
    /// Spawns all threads that there will ever be, so the caller can block signals around this one call.
    ///
    /// `waker` is called on a sending thread when outcomes are ready, once for as many as have gathered since
    /// [`outcomes`](Self::outcomes) was last called. It must neither block nor panic.
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
        // Neither channel can be full: no more works are accepted than either holds.
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

    /// Gives a work to the threads, or gives it back when as many as `threads + queue` are in flight already or the
    /// sender is closed. Never blocks.
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

    /// The outcomes that are ready now. Never blocks.
    ///
    /// Call it after clearing whatever the waker sets (the eventfd), in this order: the call lowers the flag that
    /// holds further wake-ups back, and only then looks into the channel. Whoever stops before the end comes back
    /// without being woken.
    pub fn outcomes(&self) -> Outcomes<'_, P> {
        self.shared.wake.rearm();
        Outcomes { sender: self }
    }

    /// Works that were accepted and have not come back through [`outcomes`](Self::outcomes).
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How many certificate authorities are trusted; with none, no https request can succeed.
    pub fn trusted_authorities(&self) -> usize {
        self.shared.agents.trusted_authorities()
    }

    /// Accepts no more works and gives back those that no thread has taken. Those under way go on; their outcomes
    /// keep coming. Never blocks.
    pub fn close(&mut self) -> Vec<P> {
        self.works = None;
        let unsent: Vec<P> = self.untaken.try_iter().collect();
        self.in_flight.fetch_sub(unsent.len(), Ordering::Relaxed);
        unsent
    }

    /// Ends the sender: takes back what was not begun, waits until `deadline` for what was, and interrupts the rest.
    ///
    /// No thread is joined. The interrupted ones end by themselves; one that looks up a name or dials ends when the
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

/// Interrupts what is still under way, so that no thread outlives the sender by a request's timeout.
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
