//! The listening socket, which can be closed and opened again on the same port.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::connection::Connection;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::wait::within;

/// Below the range for outgoing connections, so that no other program gets the port while we are down.
const PORTS: std::ops::Range<u16> = 18_000..32_000;
const BIND_DEADLINE: Duration = Duration::from_secs(10);
const STACK_SIZE: usize = 256 * 1024;

pub(super) struct Listener {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    /// Returns a free port of this address that stays ours.
    pub(super) fn pick_port(ip: IpAddr) -> Result<SocketAddr> {
        static TRIES: AtomicU64 = AtomicU64::new(0);
        let width = u64::from(PORTS.end - PORTS.start);
        let clock = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .subsec_nanos();
        for _ in 0..width {
            let offset = (u64::from(clock) + 7919 * TRIES.fetch_add(1, Ordering::Relaxed)) % width;
            let port = PORTS.start + u16::try_from(offset).expect("the range is narrower than u16");
            if TcpListener::bind((ip, port)).is_ok() {
                return Ok(SocketAddr::new(ip, port));
            }
        }
        Err(Error::Setup(format!("no free port on {ip}")))
    }

    pub(super) fn open(address: SocketAddr, shared: &Arc<Shared>) -> Result<Self> {
        let mut refusal = None;
        let listener = within(BIND_DEADLINE, || {
            TcpListener::bind(address)
                .map_err(|error| refusal = Some(error))
                .ok()
        })
        .ok_or_else(|| Error::Io {
            what: format!("listening on {address}"),
            source: refusal.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()),
        })?;
        let stopping = Arc::new(AtomicBool::new(false));
        let accepting = thread::Builder::new()
            .name(format!("receiver {}", address.port()))
            .spawn({
                let (stopping, shared) = (Arc::clone(&stopping), Arc::clone(shared));
                move || accept(&listener, &stopping, &shared)
            })
            .map_err(Error::io("starting the receiver's thread"))?;
        Ok(Self {
            address,
            stopping,
            accepting: Some(accepting),
        })
    }
}

impl Drop for Listener {
    /// Closes the port before it returns.
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // On every system, a connection wakes an accept that waits.
        let woken = TcpStream::connect_timeout(&self.address, Duration::from_secs(5));
        if let (Ok(_), Some(accepting)) = (woken, self.accepting.take()) {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, stopping: &AtomicBool, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        match socket {
            Ok(socket) => serve(socket, shared),
            // Most likely out of file descriptors: closing connections will free some.
            Err(_) => shared.pause(Duration::from_millis(10)),
        }
    }
}

fn serve(socket: TcpStream, shared: &Arc<Shared>) {
    let socket = Arc::new(socket);
    shared.register(&socket);
    let shared = Arc::clone(shared);
    // If no thread is available, the connection is dropped: the sender sees it as lost.
    let _ = thread::Builder::new()
        .name("connection".to_owned())
        .stack_size(STACK_SIZE)
        .spawn(move || {
            let _ = Connection::new(socket, shared).and_then(Connection::serve);
        });
}
