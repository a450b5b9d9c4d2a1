//! The limits of hosts: how many requests at once, and in a time, over all subscriptions that send to one.
//!
//! It sits between a lane and the sender. Where no host has a limit, it costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use herald_core::subscription::rate::Rate;

use crate::pace::Pace;
use crate::waiting::Waiting;

/// What a host takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostLimit {
    pub max_concurrency: Option<usize>,
    pub rate_limit: Option<Rate>,
}

/// The limits of hosts, by name.
pub type HostLimits = BTreeMap<Arc<str>, HostLimit>;

/// The hosts that have limits.
///
/// ```
/// use herald_dispatch::hosts::{HostLimit, HostLimits, Hosts};
///
/// let limit = HostLimit { max_concurrency: Some(1), rate_limit: None };
/// let mut hosts = Hosts::default();
/// hosts.configure(&HostLimits::from([("example.com".into(), limit)]));
/// let host = hosts.limited("example.com");
/// assert!(hosts.has_connection(host.as_deref(), 7));
/// hosts.begin(1, host.as_deref(), Some(0));
/// assert!(!hosts.has_connection(host.as_deref(), 8));
/// assert_eq!(hosts.end(1), [8]);
/// ```
#[derive(Debug, Default)]
pub struct Hosts {
    by_name: BTreeMap<Arc<str>, Host>,
    /// The hosts of requests that are under way and count, by token.
    under_way: BTreeMap<u64, Arc<str>>,
}

#[derive(Debug, Default)]
struct Host {
    limit: HostLimit,
    under_way: usize,
    pace: Option<Pace>,
    /// Lanes that wait for one of its requests to end.
    waiting: Waiting,
}

impl Hosts {
    /// Applies these limits from now on. Requests that are under way to a host that had none do not count.
    pub fn configure(&mut self, limits: &HostLimits) {
        self.by_name.retain(|name, _| limits.contains_key(name));
        // A host that gets limits again counts anew.
        let by_name = &self.by_name;
        self.under_way.retain(|_, name| by_name.contains_key(name));
        for (name, limit) in limits {
            let host = self.by_name.entry(Arc::clone(name)).or_default();
            host.limit = *limit;
            if host.pace.map(|pace| pace.rate()) != limit.rate_limit {
                host.pace = limit.rate_limit.map(Pace::new);
            }
        }
    }

    /// Returns the name of a host, if it has a limit.
    pub fn limited(&self, host: &str) -> Option<Arc<str>> {
        let (name, _) = self.by_name.get_key_value(host)?;
        Some(Arc::clone(name))
    }

    /// Returns the rate of a host, if it has one.
    pub fn rate(&self, host: &str) -> Option<Rate> {
        self.by_name.get(host)?.limit.rate_limit
    }

    /// Returns whether another request may begin. If not, remembers `lane` until one may.
    pub fn has_connection(&mut self, host: Option<&str>, lane: i64) -> bool {
        let Some(host) = host.and_then(|name| self.by_name.get_mut(name)) else {
            return true;
        };
        let most = host.limit.max_concurrency;
        let has_one = most.is_none_or(|most| host.under_way < most);
        if !has_one {
            host.waiting.add(lane);
        }
        has_one
    }

    /// Returns when the host's rate lets the next request leave; `None` for now.
    pub fn paced_until(&mut self, host: Option<&str>, now: i64) -> Option<i64> {
        self.by_name.get_mut(host?)?.pace.as_mut()?.next_at(now)
    }

    /// Counts a request that begins; `paced_at` if it counts for the rate.
    pub fn begin(&mut self, token: u64, name: Option<&str>, paced_at: Option<i64>) {
        let Some((name, host)) = name.and_then(|name| Some((name, self.by_name.get_mut(name)?)))
        else {
            return;
        };
        host.under_way += 1;
        if let (Some(pace), Some(now)) = (&mut host.pace, paced_at) {
            pace.count(now);
        }
        self.under_way.insert(token, name.into());
    }

    /// Counts a request that ended. Returns all lanes that waited for it: a lane with nothing left to send must not
    /// keep the others waiting.
    pub fn end(&mut self, token: u64) -> Vec<i64> {
        let name = self.under_way.remove(&token);
        let Some(host) = name.and_then(|name| self.by_name.get_mut(&name)) else {
            return Vec::new();
        };
        host.under_way = host.under_way.saturating_sub(1);
        host.waiting.take_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Option<&str> = Some("example.com");

    fn limits(max_concurrency: Option<usize>, rate: Option<&str>) -> HostLimits {
        let limit = HostLimit {
            max_concurrency,
            rate_limit: rate.map(|text| Rate::parse("rate_limit", text).unwrap()),
        };
        HostLimits::from([("example.com".into(), limit)])
    }

    #[test]
    fn a_host_with_a_rate_takes_no_more() {
        let mut hosts = Hosts::default();
        hosts.configure(&limits(None, Some("1/min")));
        assert_eq!(hosts.paced_until(HOST, 0), None);
        hosts.begin(1, HOST, Some(0));
        assert!(hosts.paced_until(HOST, 0).is_some());
        // What has left counts while the rate stays.
        hosts.configure(&limits(Some(7), Some("1/min")));
        assert!(hosts.paced_until(HOST, 0).is_some());
        hosts.configure(&limits(Some(7), Some("2/min")));
        assert_eq!(hosts.paced_until(HOST, 0), None);
    }

    #[test]
    fn a_host_without_a_limit_is_not_known() {
        let mut hosts = Hosts::default();
        hosts.configure(&limits(Some(1), None));
        assert_eq!(hosts.limited("example.org"), None);
        hosts.begin(1, HOST, Some(0));
        assert!(!hosts.has_connection(HOST, 1));
        hosts.configure(&HostLimits::new());
        assert!(hosts.has_connection(HOST, 1));
        // It ends uncounted.
        hosts.configure(&limits(Some(1), None));
        hosts.begin(2, HOST, Some(0));
        assert!(hosts.end(1).is_empty());
        assert!(!hosts.has_connection(HOST, 1));
        hosts.configure(&HostLimits::new());
        assert_eq!(hosts.limited("example.com"), None);
    }
}
