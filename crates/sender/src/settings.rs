//! What the pool is started with, and what keeps connections apart.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use herald_core::proxy::Proxy;
use herald_core::url_policy::UrlPolicy;

use crate::dns::{self, Lookup};

/// Fixed for the life of a [`Sender`](crate::Sender); a change needs a new one.
#[derive(Clone)]
pub struct Settings {
    /// Send threads, which is also the number of requests that run at the same time.
    pub threads: usize,
    /// Works that may be accepted beyond the running ones, so that no thread waits for the caller's next turn.
    pub queue: usize,
    /// Look-up threads. An eighth of them are one tenant's, or one domain's, at most; half of them are for names that
    /// have answered lately.
    pub dns_threads: usize,
    /// An answer of a name server serves this long; a failure for two seconds at most.
    pub dns_ttl: Duration,
    /// Where requests may go. Enforced on the addresses that are dialled.
    pub url_policy: UrlPolicy,
    /// Where requests of tenants may go.
    pub tenant_url_policy: UrlPolicy,
    /// Certificate authorities that are trusted beside the system's, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// The local address that connections come from.
    pub source_address: Option<IpAddr>,
    /// What connections go through.
    pub proxy: Option<Proxy>,
    /// Connections get only file descriptors below this number: those above are for the rest of the process.
    pub max_descriptor: u64,
    /// So many bytes of a response are kept, at most.
    pub response_cap: usize,
    /// How names become addresses; `None` for the system's way. The result is subject to `url_policy` in any case.
    pub lookup: Option<Lookup>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 64,
            queue: 64,
            dns_threads: 32,
            dns_ttl: Duration::from_secs(30),
            url_policy: UrlPolicy::default(),
            tenant_url_policy: UrlPolicy::default(),
            ca_file: None,
            source_address: None,
            proxy: None,
            max_descriptor: u64::MAX,
            response_cap: 8 * 1024,
            lookup: None,
        }
    }
}

impl Settings {
    pub(crate) fn lookup_or_system(&self) -> Lookup {
        self.lookup
            .clone()
            .unwrap_or_else(|| Arc::new(dns::system_lookup))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("threads", &self.threads)
            .field("queue", &self.queue)
            .field("dns_threads", &self.dns_threads)
            .field("dns_ttl", &self.dns_ttl)
            .field("url_policy", &self.url_policy)
            .field("tenant_url_policy", &self.tenant_url_policy)
            .field("ca_file", &self.ca_file)
            .field("source_address", &self.source_address)
            .field("proxy", &self.proxy)
            .field("max_descriptor", &self.max_descriptor)
            .field("response_cap", &self.response_cap)
            .field("lookup", &self.lookup.as_ref().map(|_| "custom"))
            .finish()
    }
}
