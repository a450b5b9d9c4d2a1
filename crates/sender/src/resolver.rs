//! Names to addresses for ureq, and the one place where the network policy is enforced.
//!
//! ureq asks before each request, even if a pooled connection will serve it, and dials only the addresses returned
//! here. Every answer is judged each time, cached or not, so changing a name's addresses gains nothing. One denied
//! address refuses the whole answer: a name with public and private addresses suggests an attack.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use herald_core::attempt::outcome::ErrorClass;
use herald_core::egress::proxy::Proxy;
use herald_core::egress::url_policy::UrlPolicy;
use http::Uri;
use http::uri::Scheme;
use ureq::config::Config;
use ureq::unversioned::resolver::{ArrayVec, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::dns::{Dns, LookupError};
use crate::failure::Failure;
use crate::shares::Share;

/// ureq's maximum.
const MAX_ADDRESSES: usize = 16;

/// The resolver of all agents; a clone shares the cache.
#[derive(Clone)]
pub(crate) struct PolicedResolver {
    dns: Arc<Dns>,
    url_policy: Arc<UrlPolicy>,
    proxy: Option<Arc<Proxy>>,
    /// The payer of look-ups.
    tenant: Option<Arc<str>>,
}

impl PolicedResolver {
    pub(crate) fn new(dns: Arc<Dns>, url_policy: UrlPolicy, proxy: Option<Arc<Proxy>>) -> Self {
        Self {
            dns,
            url_policy: Arc::new(url_policy),
            proxy,
            tenant: None,
        }
    }

    /// Returns a resolver that shares the cache and looks names up for this tenant.
    pub(crate) fn for_tenant(&self, tenant: Option<&Arc<str>>) -> Self {
        Self {
            tenant: tenant.cloned(),
            ..self.clone()
        }
    }

    /// Returns a resolver that shares the cache and uses another policy.
    pub(crate) fn with_policy(&self, url_policy: UrlPolicy) -> Self {
        Self {
            url_policy: Arc::new(url_policy),
            ..self.clone()
        }
    }

    /// Hides from a tenant where a name leads that it may not call, and whether the name exists.
    fn told(&self, failure: Failure, uri: &Uri) -> Failure {
        match failure.class {
            ErrorClass::Dns | ErrorClass::Blocked if self.url_policy.is_for_tenants() => {
                Failure::dns(format_args!(
                    "{} has no address that may be called",
                    bare_host(uri)
                ))
            }
            _ => failure,
        }
    }

    fn addresses(&self, uri: &Uri, deadline: Instant) -> Result<ResolvedSocketAddrs, Failure> {
        let port = self.port(uri)?;
        let host = bare_host(uri);
        if let Some(proxy) = &self.proxy {
            return self.proxy_addresses(proxy, uri, deadline);
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.admit(&[ip], port, host);
        }
        let ips = self.look_up(host, self.tenant.as_ref(), deadline)?;
        self.admit(&ips, port, host)
    }

    /// Returns the proxy's own addresses, wherever it is. The URL is judged by its text; the proxy decides the rest.
    fn proxy_addresses(
        &self,
        proxy: &Proxy,
        uri: &Uri,
        deadline: Instant,
    ) -> Result<ResolvedSocketAddrs, Failure> {
        if self.url_policy.check_url(&uri.to_string()).is_err() {
            let words = format!(
                "blocked: {} is not allowed by the settings herald.allow_*",
                bare_host(uri)
            );
            return Err(Failure::new(ErrorClass::Blocked, words));
        }
        let ips = match proxy.host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            // Everybody's requests need the proxy.
            Err(_) => self.look_up(&proxy.host, None, deadline)?.to_vec(),
        };
        let mut addresses = ArrayVec::from_fn(|_| SocketAddr::from(([0; 4], 0)));
        for ip in ips.into_iter().take(MAX_ADDRESSES) {
            addresses.push(SocketAddr::new(ip, proxy.port));
        }
        Ok(addresses)
    }

    fn look_up(
        &self,
        host: &str,
        tenant: Option<&Arc<str>>,
        deadline: Instant,
    ) -> Result<Arc<[IpAddr]>, Failure> {
        let share = || Share::of(tenant, host);
        match self.dns.addresses(share, host, deadline) {
            Ok(addresses) => Ok(addresses),
            Err(LookupError::NoSuchHost) => Err(Failure::dns(format_args!("no such host {host}"))),
            Err(LookupError::Failed(reason)) => {
                Err(Failure::dns(format_args!("{reason} for {host}")))
            }
            Err(LookupError::TimedOut) => {
                Err(Failure::dns(format_args!("no answer for {host} in time")))
            }
            Err(LookupError::Busy) => Err(Failure::dns(format_args!(
                "too many look-ups are waiting to ask for {host}"
            ))),
        }
    }

    fn port(&self, uri: &Uri) -> Result<u16, Failure> {
        let is_http = uri.scheme() == Some(&Scheme::HTTP);
        if is_http && !self.url_policy.allow_http {
            let words = "blocked: http is not allowed (herald.allow_http is off)";
            return Err(Failure::new(ErrorClass::Blocked, words));
        }
        Ok(port_of(uri))
    }

    fn admit(&self, ips: &[IpAddr], port: u16, host: &str) -> Result<ResolvedSocketAddrs, Failure> {
        let mut admitted: ResolvedSocketAddrs =
            ArrayVec::from_fn(|_| SocketAddr::from(([0; 4], 0)));
        for ip in ips {
            let address = SocketAddr::new(*ip, port);
            if let Err(reason) = self.url_policy.check_address_of(host, address) {
                return Err(self.blocked(address, reason, host));
            }
            // ureq takes only the first addresses, but all are checked.
            if admitted.len() < MAX_ADDRESSES {
                admitted.push(address);
            }
        }
        Ok(admitted)
    }

    fn blocked(&self, address: SocketAddr, reason: &str, host: &str) -> Failure {
        let ip = address.ip();
        if self.url_policy.is_own(address.port()) {
            let words = format!("blocked: {} is {reason}", address.port());
            return Failure::new(ErrorClass::Blocked, words);
        }
        let is_the_port = self.url_policy.check_ip(ip).is_ok();
        let (subject, setting) = if is_the_port {
            (address.port().to_string(), "herald.allow_ports")
        } else {
            (ip.to_string(), "herald.allow_networks")
        };
        let through = if host.parse::<IpAddr>().is_ok() || is_the_port {
            String::new()
        } else {
            format!(", which {host} leads to,")
        };
        let words = format!("blocked: {subject}{through} is {reason} ({setting})");
        Failure::new(ErrorClass::Blocked, words)
    }
}

impl Resolver for PolicedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let now = Instant::now();
        let deadline = now.checked_add(*timeout.after).unwrap_or(now);
        let addresses = self.addresses(uri, deadline);
        Ok(addresses.map_err(|failure| self.told(failure, uri))?)
    }
}

/// Returns the port of the URL, or its scheme's default.
pub(crate) fn port_of(uri: &Uri) -> u16 {
    let is_http = uri.scheme() == Some(&Scheme::HTTP);
    uri.port_u16().unwrap_or(if is_http { 80 } else { 443 })
}

/// Returns the host without the brackets of an IPv6 literal.
pub(crate) fn bare_host(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

impl fmt::Debug for PolicedResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PolicedResolver")
            .field("url_policy", &self.url_policy)
            .finish_non_exhaustive()
    }
}
