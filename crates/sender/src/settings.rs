//! The settings with which the sender starts.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use herald_core::egress::proxy::Proxy;
use herald_core::egress::url_policy::UrlPolicy;

use crate::dns::{self, Lookup};

/// Fixed for the life of a [`Sender`](crate::Sender); a change needs a new sender.
#[derive(Clone)]
pub struct Settings {
    /// Send threads, and so the number of concurrent requests.
    pub threads: usize,
    /// Works accepted beyond the running ones, so that no thread waits for the caller's next turn.
    pub queue: usize,
    /// Look-up threads. One tenant, or one domain, uses at most an eighth of them; half are for names that have
    /// answered lately.
    pub dns_threads: usize,
    /// How long a name server's answer is cached; a failure for at most two seconds.
    pub dns_ttl: Duration,
    /// Where requests may go. Enforced on the dialled addresses.
    pub url_policy: UrlPolicy,
    /// Where requests of tenants may go.
    pub tenant_url_policy: UrlPolicy,
    /// Certificate authorities trusted in addition to the system's, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// The local address of connections.
    pub source_address: Option<IpAddr>,
    /// The proxy for connections.
    pub proxy: Option<Proxy>,
    /// Connections use only file descriptors below this number: higher ones are for the rest of the process.
    pub max_descriptor: u64,
    /// At most this many bytes of a response are kept.
    pub response_cap: usize,
    /// How names become addresses; `None` for the system's way. `url_policy` applies to the result in any case.
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
