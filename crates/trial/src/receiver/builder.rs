//! The configuration of a receiver, and what its threads share, made of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::ledger::{Keep, Ledger};
use super::listener::Listener;
use super::mode::Mode;
use super::request::Request;
use super::shared::{Observe, Shared};
use super::tls::Tls;
use crate::error::Result;

#[derive(Default)]
pub struct Builder {
    secret: Option<String>,
    keep: Keep,
    log: Option<PathBuf>,
    mode: Option<Mode>,
    tls: Option<Tls>,
    ip: Option<IpAddr>,
    port: Option<u16>,
    observe: Option<Observe>,
}

impl Builder {
    /// Sets the `whsec_` secret that must sign every request.
    pub fn secret(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }

    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    pub fn keep_bodies(self, keep: bool) -> Self {
        self.keep(if keep { Keep::Everything } else { Keep::Heads })
    }

    /// Appends a line of JSON for each request, flushed to disk before the answer.
    pub fn log(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the address, 127.0.0.1 by default.
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// Sets the port, a free one by default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Calls `observe` with each complete request before it is recorded; the sender waits meanwhile, so it should be
    /// quick.
    pub fn observe(mut self, observe: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        self.observe = Some(Box::new(observe));
        self
    }

    /// Picks a port, unless it is given, and opens the ledger. Returns the address, on which nothing listens yet.
    pub(super) fn prepare(self) -> Result<(SocketAddr, Arc<Shared>)> {
        let ip = self.ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let address = match self.port {
            Some(port) => SocketAddr::new(ip, port),
            None => Listener::pick_port(ip)?,
        };
        let ledger = Ledger::open(self.secret.as_deref(), self.keep, self.log.as_deref())?;
        let mode = self.mode.unwrap_or_else(Mode::ok);
        let shared = Arc::new(Shared::new(ledger, mode, self.tls, self.observe));
        Ok((address, shared))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("keep", &self.keep)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
