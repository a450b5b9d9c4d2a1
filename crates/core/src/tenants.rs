//! The tenants' plans: how many requests at once, how many events in a month, and what becomes of those beyond.
//!
//! A month's account is kept elsewhere and grows when attempts are recorded. What was begun and is not recorded yet is
//! counted here, so that no quota is passed by what is under way. It sits between a lane and the sender.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a tenant's plan says, and its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Deliveries that may be begun in this month; `None` for any number.
    pub events_per_month: Option<i64>,
    /// Requests that may be under way at once.
    pub max_connections: Option<usize>,
    pub over_quota: OverQuota,
    /// Deliveries that were begun in this month, as the account has them.
    pub events: i64,
}

/// What becomes of deliveries beyond the month's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverQuota {
    Throttled,
    Blocked,
}

/// What the month's events say to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Send,
    /// Not before there is quota again: its lane is held.
    Hold,
    Bury,
}

/// What goes into a tenant's account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub events: i64,
    pub attempts: i64,
    pub delivered: i64,
    pub dead: i64,
}

/// The tenants that have a plan. Whoever has none, or is nobody's, is kept from nothing.
///
/// ```
/// use std::collections::HashMap;
/// use herald_core::tenants::{OverQuota, Quota, Tenants, Verdict};
///
/// let quota = Quota {
///     events_per_month: Some(2),
///     max_connections: Some(1),
///     over_quota: OverQuota::Blocked,
///     events: 1,
/// };
/// let mut tenants = Tenants::default();
/// tenants.configure(&HashMap::from([("acme".into(), quota)]));
/// let acme = Some("acme");
/// assert_eq!(tenants.judge(acme, true), Verdict::Send);
/// assert!(tenants.has_connection(acme, 7));
/// tenants.begin(acme, true);
/// // It is the last of the month, and takes the only connection.
/// assert_eq!(tenants.judge(acme, true), Verdict::Bury);
/// assert!(!tenants.has_connection(acme, 8));
/// assert_eq!(tenants.end(acme).into_iter().collect::<Vec<_>>(), [8]);
/// ```
#[derive(Debug, Default)]
pub struct Tenants {
    meters: HashMap<Arc<str>, Meter>,
}

#[derive(Debug)]
struct Meter {
    quota: Quota,
    /// Begun, and not in the account yet.
    unrecorded: i64,
    in_flight: usize,
    /// Lanes that wait for one of the tenant's requests to end.
    waiting: HashSet<i64>,
}

impl Tenants {
    /// Goes by these quotas from here on.
    pub fn configure(&mut self, quotas: &HashMap<Arc<str>, Quota>) {
        self.meters.retain(|name, _| quotas.contains_key(name));
        for (name, quota) in quotas {
            self.meters
                .entry(Arc::clone(name))
                .and_modify(|meter| meter.quota = *quota)
                .or_insert(Meter {
                    quota: *quota,
                    unrecorded: 0,
                    in_flight: 0,
                    waiting: HashSet::new(),
                });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.meters.is_empty()
    }

    /// Whether there is an account for this tenant.
    pub fn has_account(&self, tenant: &str) -> bool {
        self.meters.contains_key(tenant)
    }

    /// Whether the lanes of this tenant are held for want of quota.
    pub fn is_held(&self, tenant: Option<&str>) -> bool {
        self.judge(tenant, true) == Verdict::Hold
    }

    /// Whether the tenant has a connection left. If not, `lane` is remembered for when it has.
    pub fn has_connection(&mut self, tenant: Option<&str>, lane: i64) -> bool {
        let Some(meter) = self.meter(tenant) else {
            return true;
        };
        let has_one = meter
            .quota
            .max_connections
            .is_none_or(|most| meter.in_flight < most);
        if !has_one {
            meter.waiting.insert(lane);
        }
        has_one
    }

    /// What the month's events say to a delivery. One that was begun before goes on.
    pub fn judge(&self, tenant: Option<&str>, is_new: bool) -> Verdict {
        match tenant.and_then(|name| self.meters.get(name)) {
            Some(meter) if is_new && meter.is_used_up() => match meter.quota.over_quota {
                OverQuota::Throttled => Verdict::Hold,
                OverQuota::Blocked => Verdict::Bury,
            },
            _ => Verdict::Send,
        }
    }

    /// A request begins, with a delivery that is new or was begun before.
    pub fn begin(&mut self, tenant: Option<&str>, is_new: bool) {
        if let Some(meter) = self.meter(tenant) {
            meter.in_flight += 1;
            meter.unrecorded += i64::from(is_new);
        }
    }

    /// A request ended. Returns the lanes that waited for that, all of them: one that has nothing to send any more must
    /// not keep the others waiting.
    pub fn end(&mut self, tenant: Option<&str>) -> HashSet<i64> {
        let Some(meter) = self.meter(tenant) else {
            return HashSet::new();
        };
        meter.in_flight = meter.in_flight.saturating_sub(1);
        std::mem::take(&mut meter.waiting)
    }

    /// What was begun as new was not sent after all.
    pub fn take_back(&mut self, tenant: Option<&str>) {
        if let Some(meter) = self.meter(tenant) {
            meter.no_longer_under_way(1);
        }
    }

    /// These are in the accounts now.
    pub fn recorded(&mut self, usage: &[(Arc<str>, Usage)]) {
        for (name, one) in usage {
            if let Some(meter) = self.meters.get_mut(name) {
                meter.no_longer_under_way(one.events);
                meter.quota.events += one.events;
            }
        }
    }

    fn meter(&mut self, tenant: Option<&str>) -> Option<&mut Meter> {
        self.meters.get_mut(tenant?)
    }
}

impl Meter {
    /// What was begun before there was the account is not in the count.
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

    fn quotas(quota: Quota) -> HashMap<Arc<str>, Quota> {
        HashMap::from([("acme".into(), quota)])
    }

    fn quota(events: i64) -> Quota {
        Quota {
            events_per_month: Some(3),
            max_connections: None,
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
        tenants.begin(ACME, true);
        assert_eq!(tenants.judge(ACME, true), Verdict::Send);
        tenants.begin(ACME, true);
        assert_eq!(tenants.judge(ACME, true), Verdict::Hold);
        tenants.recorded(&used(2));
        assert!(tenants.is_held(ACME));
        // The account, read again, has both.
        tenants.configure(&quotas(quota(3)));
        assert!(tenants.is_held(ACME));
        tenants.configure(&quotas(Quota {
            events_per_month: Some(4),
            ..quota(3)
        }));
        assert_eq!(tenants.judge(ACME, true), Verdict::Send);
    }

    #[test]
    fn what_was_not_sent_after_all_is_given_back() {
        let mut tenants = tenants(quota(2));
        tenants.begin(ACME, true);
        assert!(tenants.is_held(ACME));
        tenants.take_back(ACME);
        assert!(!tenants.is_held(ACME));
    }

    #[test]
    fn what_was_begun_before_there_was_an_account_gives_no_credit() {
        let mut tenants = tenants(quota(0));
        tenants.recorded(&used(2));
        tenants.begin(ACME, true);
        assert!(tenants.is_held(ACME));
    }

    #[test]
    fn retries_are_free() {
        let mut tenants = tenants(quota(2));
        tenants.begin(ACME, false);
        assert_eq!(tenants.judge(ACME, true), Verdict::Send);
        tenants.begin(ACME, true);
        assert_eq!(tenants.judge(ACME, false), Verdict::Send);
    }

    #[test]
    fn every_lane_that_waited_is_told_of_a_connection() {
        let mut tenants = tenants(Quota {
            max_connections: Some(2),
            ..quota(0)
        });
        tenants.begin(ACME, true);
        tenants.begin(ACME, true);
        assert!(!tenants.has_connection(ACME, 1) && !tenants.has_connection(ACME, 2));
        assert_eq!(tenants.end(ACME), HashSet::from([1, 2]));
        assert!(tenants.has_connection(ACME, 1));
        assert!(tenants.end(ACME).is_empty());
    }

    #[test]
    fn whoever_has_no_account_is_kept_from_nothing() {
        let mut tenants = tenants(quota(3));
        for other in [None, Some("other")] {
            assert_eq!(tenants.judge(other, true), Verdict::Send);
            assert!(tenants.has_connection(other, 1));
        }
        tenants.configure(&HashMap::new());
        assert!(!tenants.is_held(ACME) && tenants.is_empty());
    }
}
