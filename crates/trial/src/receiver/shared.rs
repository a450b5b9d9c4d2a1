//! What the threads of one receiver share.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::ledger::Ledger;
use super::mode::Mode;
use super::request::Request;
use super::tls::Tls;

pub(super) type Observe = Box<dyn Fn(&Request) + Send + Sync>;

pub(super) struct Shared {
    pub(super) ledger: Ledger,
    pub(super) tls: Option<Tls>,
    pub(super) observe: Option<Observe>,
    modes: Mutex<Modes>,
    /// Weak, because a reset needs the last handle of a socket.
    open: Mutex<Vec<Weak<TcpStream>>>,
    connections: AtomicU64,
    closed: Mutex<bool>,
    closing: Condvar,
}

pub(super) struct Modes {
    pub(super) default: Mode,
    pub(super) by_path: HashMap<String, Mode>,
}

impl Shared {
    pub(super) fn new(
        ledger: Ledger,
        mode: Mode,
        tls: Option<Tls>,
        observe: Option<Observe>,
    ) -> Self {
        Self {
            ledger,
            tls,
            observe,
            modes: Mutex::new(Modes {
                default: mode,
                by_path: HashMap::new(),
            }),
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            closed: Mutex::new(false),
            closing: Condvar::new(),
        }
    }

    pub(super) fn modes(&self) -> MutexGuard<'_, Modes> {
        lock(&self.modes)
    }

    pub(super) fn register(&self, socket: &Arc<TcpStream>) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let mut open = lock(&self.open);
        // Dead entries are swept before the list would grow, so that the cost per connection stays constant.
        if open.len() == open.capacity() {
            open.retain(|socket| socket.strong_count() > 0);
        }
        open.push(Arc::downgrade(socket));
    }

    pub(super) fn shut_connections(&self) {
        for socket in lock(&self.open)
            .drain(..)
            .filter_map(|socket| socket.upgrade())
        {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Sleeps, unless the receiver is dropped meanwhile.
    pub(super) fn pause(&self, pause: Duration) {
        let closed = lock(&self.closed);
        drop(
            self.closing
                .wait_timeout_while(closed, pause, |closed| !*closed),
        );
    }

    pub(super) fn close(&self) {
        *lock(&self.closed) = true;
        self.closing.notify_all();
    }
}

impl Modes {
    pub(super) fn of(&self, path: &str) -> Mode {
        let path = path.split('?').next().unwrap_or(path);
        self.by_path.get(path).unwrap_or(&self.default).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
