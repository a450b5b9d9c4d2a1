//! A subscription's options: plain data from SQL, their defaults and their limits.
//!
//! `subscribe` validates them and the worker compiles them into a [`Subscription`]. Both go through
//! [`SubscriptionOptions::compile`], so that nothing can be stored that the worker would refuse.
//! `Debug` must never show a secret, a header's value or the url.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::Error;
use crate::globs::TypeGlobs;
use crate::headers::Headers;
use crate::retry::{DEFAULT_JITTER, DEFAULT_SCHEDULE_SECONDS, LONGEST, RetryPolicy, interval_text};
use crate::signature::Signing;
use crate::style::StyleOptions;
use crate::subscription::{State, Subscription};
use crate::target::Target;
use crate::url_policy::UrlPolicy;

/// The default of `timeout`, in microseconds (Standard Webhooks 1.0.0 recommends 15 to 30 s).
pub const DEFAULT_TIMEOUT_MICROS: i64 = 30_000_000;
/// The default of `max_concurrency`.
pub const DEFAULT_MAX_CONCURRENCY: i32 = 10;
/// The default of `max_payload`, in bytes of body.
pub const DEFAULT_MAX_PAYLOAD: i32 = 262_144;

/// The most bytes of a tenant's name.
pub const MAX_TENANT_BYTES: usize = 255;
/// The most bytes of all options of a subscription together, before any is looked at.
pub const MAX_OPTIONS_BYTES: i32 = 1_048_576;
/// The most bytes of each member of the option `tls`, in PEM.
pub const MAX_PEM_BYTES: usize = 262_144;

/// A subscription's options as plain data, unchecked.
///
/// ```
/// use herald_core::{subscription::SubscriptionOptions, url_policy::UrlPolicy};
///
/// let options = SubscriptionOptions { timeout_micros: 10, ..SubscriptionOptions::new("shop", "https://example.com/") };
/// let error = options.validate(&UrlPolicy::default()).unwrap_err();
/// assert_eq!(error.message(), "timeout is out of range");
/// assert_eq!(error.detail().unwrap(), "The value is 10 us; allowed is 100 ms to 5 min.");
/// ```
#[derive(Clone, PartialEq)]
pub struct SubscriptionOptions {
    /// The immutable id.
    pub id: i64,
    /// The name, 1 to 63 of `A-Za-z0-9._/-`.
    pub name: String,
    /// Where the events go.
    pub url: String,
    /// The globs of the wanted types.
    pub types: Vec<String>,
    /// Whose events it gets; `None` for everybody's.
    pub tenant: Option<String>,
    /// Names and values of its own headers.
    pub headers: Vec<(String, String)>,
    /// The secrets, the current one first. Without any it can be stored but not sent to.
    pub secrets: Vec<String>,
    /// How requests look and are signed.
    pub style: StyleOptions,
    /// The setting `herald.request_origin`.
    pub request_origin: String,
    /// What the receiver consented to: so many deliveries a minute.
    pub rate: Option<u32>,
    /// How often the url or the handshake was changed.
    pub generation: i32,
    /// How long one attempt may take, 100 ms to 5 min.
    pub timeout_micros: i64,
    /// The delays between attempts, each over 0 and up to 30 days.
    pub retry_schedule_micros: Vec<i64>,
    /// How far delays are moved at random, 0 to 1.
    pub retry_jitter: f64,
    /// A cap on all attempts, 1 to 1000.
    pub max_attempts: Option<i32>,
    /// The statuses that are successes, 200 to 599; 2xx if not given.
    pub success: Option<Vec<i32>>,
    /// The statuses after which it is tried again, 200 to 599; all that are no success if not given.
    pub retry_on: Option<Vec<i32>>,
    /// The delay after a timeout, over 0 and up to 30 days.
    pub timeout_delay_micros: Option<i64>,
    /// How long it is tried at all, over 0.
    pub retry_duration_micros: Option<i64>,
    /// How many requests may be under way at once, 1 to 1000.
    pub max_concurrency: i32,
    /// The most bytes of a body, 1 to 16 MB.
    pub max_payload: i32,
    /// How long a delivery may wait before it expires.
    pub max_age_micros: Option<i64>,
    /// How many deliveries may be pending, 1 to 100 million; those on top are buried.
    pub max_backlog: Option<i64>,
    /// What happens to matching events.
    pub state: State,
}

impl SubscriptionOptions {
    /// Options with the defaults for all but the name and the url. There is no secret yet.
    ///
    /// ```
    /// use herald_core::{subscription::SubscriptionOptions, url_policy::UrlPolicy};
    ///
    /// let options = SubscriptionOptions::new("shop", "https://example.com/");
    /// assert_eq!(options.validate(&UrlPolicy::default()), Ok(()));
    /// ```
    pub fn new(name: &str, url: &str) -> SubscriptionOptions {
        SubscriptionOptions {
            id: 0,
            name: name.into(),
            url: url.into(),
            types: vec!["*".into()],
            tenant: None,
            headers: Vec::new(),
            secrets: Vec::new(),
            style: StyleOptions::default(),
            request_origin: String::new(),
            rate: None,
            generation: 0,
            timeout_micros: DEFAULT_TIMEOUT_MICROS,
            retry_schedule_micros: DEFAULT_SCHEDULE_SECONDS
                .map(|seconds| seconds as i64 * 1_000_000)
                .to_vec(),
            retry_jitter: DEFAULT_JITTER,
            max_attempts: None,
            success: None,
            retry_on: None,
            timeout_delay_micros: None,
            retry_duration_micros: None,
            max_concurrency: DEFAULT_MAX_CONCURRENCY,
            max_payload: DEFAULT_MAX_PAYLOAD,
            max_age_micros: None,
            max_backlog: None,
            state: State::Active,
        }
    }

    /// Checks all options as [`compile`](Self::compile) does.
    pub fn validate(&self, policy: &UrlPolicy) -> Result<(), Error> {
        self.compile(policy).map(drop)
    }

    /// As much as matching needs of a subscription that does not compile: what matches it is held until it does. Of the
    /// options only these count. Types that cannot be read match every event, so that none is missed.
    ///
    /// ```
    /// use herald_core::{subscription::SubscriptionOptions, url_policy::UrlPolicy};
    ///
    /// let options = SubscriptionOptions { types: vec![], timeout_micros: -1, ..SubscriptionOptions::new("", "") };
    /// assert!(options.compile(&UrlPolicy::default()).is_err());
    /// assert!(options.held().types.matches("order.paid"));
    /// ```
    pub fn held(&self) -> Subscription {
        let defaults = SubscriptionOptions::new("held", "https://held.invalid/");
        let compiled = defaults.compile(&UrlPolicy::default());
        Subscription {
            id: self.id,
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            types: TypeGlobs::parse(&self.types).unwrap_or_else(|_| TypeGlobs::everything()),
            state: self.state,
            ..compiled.expect("the defaults are valid")
        }
    }

    /// Checks all options and parses them once, for many events.
    ///
    /// ```
    /// use herald_core::{subscription::SubscriptionOptions, url_policy::UrlPolicy};
    ///
    /// let options = SubscriptionOptions::new("shop", "https://Example.com");
    /// let subscription = options.compile(&UrlPolicy::default()).unwrap();
    /// assert_eq!(subscription.target.origin(), "https://example.com/");
    /// ```
    pub fn compile(&self, policy: &UrlPolicy) -> Result<Subscription, Error> {
        check_name(&self.name)?;
        check_tenant(self.tenant.as_deref())?;
        let max_age = match self.max_age_micros {
            Some(micros) => Some(Duration::from_micros(MAX_AGE.check(micros)?)),
            None => None,
        };
        let max_backlog = match self.max_backlog {
            Some(most) => Some(MAX_BACKLOG.check(most)?),
            None => None,
        };
        let target = Target::parse(&self.url, policy)?;
        let headers = Headers::parse(&self.headers)?;
        let (style, scheme) = self.style.compile(&headers, policy, &self.request_origin)?;
        Ok(Subscription {
            id: self.id,
            name: self.name.clone(),
            target,
            types: TypeGlobs::parse(&self.types)?,
            tenant: self.tenant.clone(),
            headers,
            style,
            signing: Signing::new(scheme, &self.secrets)?,
            timeout: Duration::from_micros(TIMEOUT.check(self.timeout_micros)?),
            retry: RetryPolicy::new(
                &self.retry_schedule_micros,
                self.retry_jitter,
                self.max_attempts,
            )?
            .with_statuses(self.success.as_deref(), self.retry_on.as_deref())?
            .with_timeout_delay(self.timeout_delay_micros)?
            .with_duration(self.retry_duration_micros)?,
            max_concurrency: MAX_CONCURRENCY.check(self.max_concurrency.into())? as usize,
            max_payload: MAX_PAYLOAD.check(self.max_payload.into())? as usize,
            max_age,
            max_backlog,
            rate: self.rate,
            generation: self.generation,
            state: self.state,
        })
    }
}

impl fmt::Debug for SubscriptionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionOptions")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    if (1..=63).contains(&name.len()) && name.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err(Error::SubscriptionName { name: name.into() })
    }
}

fn check_tenant(tenant: Option<&str>) -> Result<(), Error> {
    match tenant {
        Some(tenant) if tenant.len() > MAX_TENANT_BYTES => Err(Error::Option {
            option: "tenant",
            fault: format!(
                "It has {} bytes; allowed are {MAX_TENANT_BYTES}.",
                tenant.len()
            ),
            hint: "Use a shorter name, as in emit(tenant => ...).".into(),
        }),
        _ => Ok(()),
    }
}

/// The values that an option may have, and what to say about others.
struct Limit {
    option: &'static str,
    range: RangeInclusive<i64>,
    show: fn(i64) -> String,
    allowed: &'static str,
    hint: &'static str,
}

const TIMEOUT: Limit = Limit {
    option: "timeout",
    range: 100_000..=300_000_000,
    show: interval_text,
    allowed: "100 ms to 5 min",
    hint: "Use timeout => '30 s'.",
};

const MAX_CONCURRENCY: Limit = Limit {
    option: "max_concurrency",
    range: 1..=1000,
    show: |value| value.to_string(),
    allowed: "1 to 1000",
    hint: "Use max_concurrency => 10.",
};

const MAX_PAYLOAD: Limit = Limit {
    option: "max_payload",
    range: 1..=16 << 20,
    show: |value| value.to_string(),
    allowed: "1 to 16777216 bytes",
    hint: "Use max_payload => 262144.",
};

const MAX_AGE: Limit = Limit {
    option: "max_age",
    range: 1..=LONGEST.as_micros() as i64,
    show: interval_text,
    allowed: "more than 0, up to 10 years",
    hint: "Leave max_age out to let deliveries wait; update herald.subscription set max_age = null takes it back.",
};

const MAX_BACKLOG: Limit = Limit {
    option: "max_backlog",
    range: 1..=100_000_000,
    show: |value| value.to_string(),
    allowed: "1 to 100000000",
    hint: "Use max_backlog => 100000, or leave it out.",
};

impl Limit {
    fn check(&self, value: i64) -> Result<u64, Error> {
        if self.range.contains(&value) {
            Ok(value.unsigned_abs())
        } else {
            Err(Error::OutOfRange {
                option: self.option,
                value: (self.show)(value),
                allowed: self.allowed,
                hint: self.hint,
            })
        }
    }
}

#[cfg(test)]
mod tests;
