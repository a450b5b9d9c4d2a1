//! Idle connections of all agents and hosts.
//!
//! Replaces ureq's own pool, which is kept empty, because that walks over all pairs of connections and hosts for each
//! request: with a hundred hosts it allowed 2,000 requests per second, this pool 20,000. A common pool also bounds the
//! file descriptors of the server's process, whatever the number of tenants.
//!
//! A connection is used again only for the same [`AgentKey`], scheme and authority, while it is young enough and the
//! name still leads to the address to which it is connected.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::line::Line;
use herald_core::egress::agent::AgentKey;

/// An idle connection is closed after this; load balancers usually wait longer, so they seldom close it first.
pub(crate) const MAX_IDLE_AGE: Duration = Duration::from_secs(15);
/// The maximum of idle connections, unless there are more threads.
const MAX_IDLE: usize = 256;

/// What a connection may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purpose {
    /// Compared first: the pool is searched from end to end.
    hash: u64,
    agent: Arc<AgentKey>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
}

impl Purpose {
    pub(crate) fn new(agent: &Arc<AgentKey>, uri: &Uri) -> Self {
        let mut hasher = DefaultHasher::new();
        (agent, uri.scheme(), uri.authority()).hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            agent: Arc::clone(agent),
            scheme: uri.scheme().cloned(),
            authority: uri.authority().cloned(),
        }
    }
}

/// The idle connections, from the longest idle to the most recently used.
#[derive(Debug)]
pub(crate) struct Pool {
    max_idle: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: VecDeque<Idle>,
    is_closed: bool,
}

#[derive(Debug)]
struct Idle {
    purpose: Purpose,
    line: Box<Line>,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            max_idle: threads.max(MAX_IDLE),
            state: Mutex::default(),
        }
    }

    /// Returns the connection last used for this purpose, if it leads to one of these addresses and is still good.
    pub(crate) fn take(&self, purpose: &Purpose, addresses: &[SocketAddr]) -> Option<Box<Line>> {
        loop {
            let mut line = self.take_any(purpose, addresses)?;
            if line.is_quiet() {
                return Some(line);
            }
        }
    }

    fn take_any(&self, purpose: &Purpose, addresses: &[SocketAddr]) -> Option<Box<Line>> {
        let oldest = Instant::now().checked_sub(MAX_IDLE_AGE);
        let mut state = self.lock();
        let position = state.idle.iter().rposition(|idle| {
            idle.purpose == *purpose
                && addresses.contains(&idle.line.peer())
                && oldest.is_none_or(|oldest| idle.since > oldest)
        })?;
        state.idle.remove(position).map(|idle| idle.line)
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(crate) fn put(&self, purpose: Purpose, line: Box<Line>) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        let since = Instant::now();
        state.idle.push_back(Idle {
            purpose,
            line,
            since,
        });
        let surplus = if state.idle.len() > self.max_idle {
            state.idle.pop_front()
        } else {
            None
        };
        // Closed after the lock is released.
        drop(state);
        drop(surplus);
    }

    /// Closes connections that have been idle for too long. Returns whether any remain.
    pub(crate) fn sweep(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let is_old = |idle: &Idle| now.saturating_duration_since(idle.since) >= MAX_IDLE_AGE;
        let old = state.idle.iter().take_while(|idle| is_old(idle)).count();
        let closed: Vec<Idle> = state.idle.drain(..old).collect();
        let is_anything_left = !state.idle.is_empty();
        drop(state);
        drop(closed);
        is_anything_left
    }

    /// Closes all connections and keeps none from now on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let closed = std::mem::take(&mut state.idle);
        drop(state);
        drop(closed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Channel;
    use crate::socket::Socket;
    use std::net::{TcpListener, TcpStream};

    fn purpose(uri: &'static str) -> Purpose {
        Purpose::new(&Arc::default(), &Uri::from_static(uri))
    }

    fn line(listener: &TcpListener) -> Box<Line> {
        let address = listener.local_addr().expect("a bound socket");
        let stream = TcpStream::connect(address).expect("a connection");
        Box::new(Line::new(Channel::Clear(Socket::new(stream)), address))
    }

    #[test]
    fn a_connection_serves_only_its_purpose_and_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let pool = Pool::new(1);
        pool.put(purpose("http://a.test/"), line(&listener));

        let elsewhere = SocketAddr::from(([127, 0, 0, 9], 80));
        assert!(pool.take(&purpose("http://b.test/"), &[address]).is_none());
        assert!(pool.take(&purpose("https://a.test/"), &[address]).is_none());
        assert!(
            pool.take(&purpose("http://a.test/"), &[elsewhere])
                .is_none()
        );
        assert!(
            pool.take(&purpose("http://a.test/x"), &[elsewhere, address])
                .is_some()
        );
        assert!(pool.take(&purpose("http://a.test/"), &[address]).is_none());
    }

    #[test]
    fn the_pool_is_bounded_and_the_longest_idle_goes_first() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let mut pool = Pool::new(1);
        pool.max_idle = 2;
        for uri in ["http://a.test/", "http://b.test/", "http://c.test/"] {
            pool.put(purpose(uri), line(&listener));
        }
        assert!(pool.take(&purpose("http://a.test/"), &[address]).is_none());
        assert!(pool.take(&purpose("http://b.test/"), &[address]).is_some());
        assert!(pool.take(&purpose("http://c.test/"), &[address]).is_some());
    }

    #[test]
    fn what_is_idle_for_too_long_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let pool = Pool::new(1);
        pool.put(purpose("http://a.test/"), line(&listener));
        assert!(pool.sweep(Instant::now()));
        assert!(!pool.sweep(Instant::now() + MAX_IDLE_AGE));
    }
}
