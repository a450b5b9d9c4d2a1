//! The tenants' plans: how many requests at once, how many events per month, and the treatment of deliveries beyond
//! that.
//!
//! A month's account is kept elsewhere and grows when attempts are recorded. Deliveries begun but not yet recorded are
//! counted here, so that requests under way cannot exceed a quota. It sits between a lane and the sender.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use herald_core::subscription::rate::Rate;

use crate::pace::Pace;
use crate::waiting::Waiting;

/// A tenant's plan and account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Deliveries that may be begun in this month; `None` for any number.
    pub events_per_month: Option<i64>,
    /// Requests that may be under way at once.
    pub max_connections: Option<usize>,
    /// The rate of deliveries, over all subscriptions.
    pub rate_limit: Option<Rate>,
    pub over_quota: OverQuota,
    /// Deliveries begun in this month, according to the account.
    pub events: i64,
}

/// The quotas of all tenants that have a plan, by name.
pub type Quotas = BTreeMap<Arc<str>, Quota>;

/// The treatment of deliveries beyond the month's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverQuota {
    Throttled,
    Blocked,
}

/// The monthly quota's verdict on a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Send,
    /// Its lane is held until the tenant has quota again.
    Hold,
    Bury,
}

/// Usage that goes into a tenant's account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub events: i64,
    pub attempts: i64,
    pub delivered: i64,
    pub dead: i64,
}

/// The tenants that have a plan. Deliveries of tenants without a plan, or without a tenant, are not limited.
///
/// ```
/// use herald_dispatch::tenants::{OverQuota, Quota, Quotas, Tenants, Verdict};
///
/// let quota = Quota {
///     events_per_month: Some(2),
///     max_connections: Some(1),
///     rate_limit: None,
///     over_quota: OverQuota::Blocked,
///     events: 1,
/// };
/// let mut tenants = Tenants::default();
/// tenants.configure(&Quotas::from([("acme".into(), quota)]));
/// let acme = Some("acme");
/// assert_eq!(tenants.judge(acme, true), Verdict::Send);
/// assert!(tenants.has_connection(acme, 7));
/// tenants.begin(acme, true, Some(0));
/// // It is the last of the month, and takes the only connection.
/// assert_eq!(tenants.judge(acme, true), Verdict::Bury);
/// assert!(!tenants.has_connection(acme, 8));
/// assert_eq!(tenants.end(acme), [8]);
/// ```
#[derive(Debug, Default)]
pub struct Tenants {
    /// Looked up by name; the order does not matter.
    meters: HashMap<Arc<str>, Meter>,
    /// Requests under way, also of tenants without a plan: they may get a plan meanwhile.
    under_way: BTreeMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Meter {
    quota: Quota,
    pace: Option<Pace>,
    /// Deliveries begun but not yet in the account.
    unrecorded: i64,
    /// Lanes that wait for one of the tenant's requests to end.
    waiting: Waiting,
}

impl Tenants {
    /// Applies these quotas from now on.
    pub fn configure(&mut self, quotas: &Quotas) {
        self.meters.retain(|name, _| quotas.contains_key(name));
        for (name, quota) in quotas {
            let meter = self
                .meters
                .entry(Arc::clone(name))
                .or_insert_with(|| Meter {
                    quota: *quota,
                    pace: None,
                    unrecorded: 0,
                    waiting: Waiting::default(),
                });
            meter.quota = *quota;
            if meter.pace.map(|pace| pace.rate()) != quota.rate_limit {
                meter.pace = quota.rate_limit.map(Pace::new);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.meters.is_empty()
    }

    /// Returns whether this tenant has an account.
    pub fn has_account(&self, tenant: &str) -> bool {
        self.meters.contains_key(tenant)
    }

    /// Returns whether the lanes of this tenant are held for lack of quota.
    pub fn is_held(&self, tenant: Option<&str>) -> bool {
        self.judge(tenant, true) == Verdict::Hold
    }

    /// Returns whether the tenant has a free connection. If not, remembers `lane` until it has.
    pub fn has_connection(&mut self, tenant: Option<&str>, lane: i64) -> bool {
        let Some((name, meter)) = tenant.and_then(|name| Some((name, self.meters.get_mut(name)?)))
        else {
            return true;
        };
        let under_way = self.under_way.get(name).copied().unwrap_or_default();
        let has_one = meter
            .quota
            .max_connections
            .is_none_or(|most| under_way < most);
        if !has_one {
            meter.waiting.add(lane);
        }
        has_one
    }

    /// Judges a delivery by the monthly quota. A delivery that was begun before goes on.
    pub fn judge(&self, tenant: Option<&str>, is_new: bool) -> Verdict {
        match tenant.and_then(|name| self.meters.get(name)) {
            Some(meter) if is_new && meter.is_used_up() => match meter.quota.over_quota {
                OverQuota::Throttled => Verdict::Hold,
                OverQuota::Blocked => Verdict::Bury,
            },
            _ => Verdict::Send,
        }
    }

    /// Returns the rate of a tenant, if it has one.
    pub fn rate(&self, tenant: Option<&str>) -> Option<Rate> {
        self.meters.get(tenant?)?.quota.rate_limit
    }

    /// Returns when the tenant's rate lets the next delivery leave; `None` for now.
    pub fn paced_until(&mut self, tenant: Option<&str>, now: i64) -> Option<i64> {
        self.meters.get_mut(tenant?)?.pace.as_mut()?.next_at(now)
    }

    /// Counts a request that begins, with a delivery that is new or was begun before; `paced_at` if it counts for the rate.
    pub fn begin(&mut self, tenant: Option<&str>, is_new: bool, paced_at: Option<i64>) {
        let Some(name) = tenant else {
            return;
        };
        match self.under_way.get_mut(name) {
            Some(requests) => *requests += 1,
            None => drop(self.under_way.insert(name.into(), 1)),
        }
        if let Some(meter) = self.meters.get_mut(name) {
            meter.unrecorded += i64::from(is_new);
            if let (Some(pace), Some(now)) = (&mut meter.pace, paced_at) {
                pace.count(now);
            }
        }
    }

    /// Counts a request that ended. Returns all lanes that waited for it: a lane with nothing left to send must not
    /// keep the others waiting.
    pub fn end(&mut self, tenant: Option<&str>) -> Vec<i64> {
        let Some(name) = tenant else {
            return Vec::new();
        };
        if let Some(requests) = self.under_way.get_mut(name) {
            *requests -= 1;
            if *requests == 0 {
                self.under_way.remove(name);
            }
        }
        let meter = self.meters.get_mut(name);
        meter.map_or(Vec::new(), |meter| meter.waiting.take_all())
    }

    /// Takes back a delivery that was begun as new and not sent after all.
    pub fn take_back(&mut self, tenant: Option<&str>) {
        if let Some(meter) = self.meter(tenant) {
            meter.no_longer_under_way(1);
        }
    }

    /// Notes usage that is in the accounts now.
    pub fn recorded(&mut self, usage: &[(Arc<str>, Usage)]) {
        for (name, used) in usage {
            if let Some(meter) = self.meters.get_mut(name) {
                meter.no_longer_under_way(used.events);
                meter.quota.events += used.events;
            }
        }
    }

    fn meter(&mut self, tenant: Option<&str>) -> Option<&mut Meter> {
        self.meters.get_mut(tenant?)
    }
}

impl Meter {
    /// Reduces the count, which lacks deliveries begun before the account existed.
    fn no_longer_under_way(&mut self, events: i64) {
        self.unrecorded = (self.unrecorded - events).max(0);
    }

    fn is_used_up(&self) -> bool {
        let events = self.quota.events + self.unrecorded;
        self.quota
            .events_per_month
            .is_some_and(|most| events >= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: Option<&str> = Some("acme");

    fn tenants(quota: Quota) -> Tenants {
        let mut tenants = Tenants::default();
        tenants.configure(&quotas(quota));
        tenants
    }

    fn quotas(quota: Quota) -> Quotas {
        Quotas::from([("acme".into(), quota)])
    }

    fn quota(events: i64) -> Quota {
        Quota {
            events_per_month: Some(3),
            max_connections: None,
            rate_limit: None,
            over_quota: OverQuota::Throttled,
            events,
        }
    }

    fn used(events: i64) -> [(Arc<str>, Usage); 1] {
        let usage = Usage {
            events,
            ..Usage::default()
        };
        [("acme".into(), usage)]
    }

    #[test]
    fn what_is_under_way_counts_and_is_counted_once() {
        let mut tenants = tenants(quota(1));
        tenants.begin(ACME, true, Some(0));
        assert_eq!(tenants.judge(ACME, true), Verdict::Send);
        tenants.begin(ACME, true, Some(0));
        assert_eq!(tenants.judge(ACME, true), Verdict::Hold);
        tenants.recorded(&used(2));
        assert!(tenants.is_held(ACME));
        // The account, read again, has both.
        tenants.configure(&quotas(quota(3)));
        assert!(tenants.is_held(ACME));
        let more = Quota {
            events_per_month: Some(4),
            ..quota(3)
        };
        tenants.configure(&quotas(more));
        assert_eq!(tenants.judge(ACME, true), Verdict::Send);
    }

    #[test]
    fn what_was_not_sent_after_all_is_given_back() {
        let mut tenants = tenants(quota(2));
        tenants.begin(ACME, true, Some(0));
        assert!(tenants.is_held(ACME));
        tenants.take_back(ACME);
        assert!(!tenants.is_held(ACME));
    }

    #[test]
    fn what_was_begun_before_there_was_an_account_gives_no_credit() {
        let mut tenants = tenants(quota(0));
        tenants.recorded(&used(2));
        tenants.begin(ACME, true, Some(0));
        assert!(tenants.is_held(ACME));
    }

    #[test]
    fn what_was_under_way_before_there_was_a_plan_takes_a_connection_until_it_ends() {
        let limited = Quota {
            max_connections: Some(1),
            ..quota(0)
        };
        let mut tenants = Tenants::default();
        tenants.begin(ACME, true, Some(0));
        tenants.configure(&quotas(limited));
        assert!(!tenants.has_connection(ACME, 1));
        tenants.configure(&Quotas::new());
        tenants.configure(&quotas(limited));
        assert!(!tenants.has_connection(ACME, 1));
        tenants.end(ACME);
        assert!(tenants.has_connection(ACME, 1) && tenants.under_way.is_empty());
    }

    #[test]
    fn retries_are_free() {
        let mut tenants = tenants(quota(2));
        tenants.begin(ACME, false, Some(0));
        assert_eq!(tenants.judge(ACME, true), Verdict::Send);
        tenants.begin(ACME, true, Some(0));
        assert_eq!(tenants.judge(ACME, false), Verdict::Send);
    }

    #[test]
    fn every_lane_that_waited_is_told_of_a_connection() {
        let mut tenants = tenants(Quota {
            max_connections: Some(2),
            ..quota(0)
        });
        tenants.begin(ACME, true, Some(0));
        tenants.begin(ACME, true, Some(0));
        assert!(!tenants.has_connection(ACME, 1) && !tenants.has_connection(ACME, 2));
        assert_eq!(tenants.end(ACME), [1, 2]);
        assert!(tenants.has_connection(ACME, 1));
        assert!(tenants.end(ACME).is_empty());
    }

    #[test]
    fn tenants_without_an_account_are_not_limited() {
        let mut tenants = tenants(quota(3));
        for other in [None, Some("other")] {
            assert_eq!(tenants.judge(other, true), Verdict::Send);
            assert!(tenants.has_connection(other, 1));
        }
        tenants.configure(&Quotas::new());
        assert!(!tenants.is_held(ACME) && tenants.is_empty());
    }
}
