//! A checked subscription, compiled from its [options](crate::subscription::options).
//!
//! It is compiled once per reload; matching and sending only read it. `Debug` must never show a secret, a
//! header's value or the url, which often carries a token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::attempt::retry::RetryPolicy;
use crate::request::style::Style;
use crate::request::target::Target;
use crate::signing::Signing;
use crate::subscription::breaker::BreakerPolicy;
use crate::subscription::headers::Headers;
use crate::subscription::hours::ActiveHours;
use crate::subscription::ordering::Ordering;
use crate::subscription::rate::Rate;
use crate::subscription::secrets::NamedSecrets;
use crate::subscription::state::State;
use crate::subscription::wanted::Wanted;

/// A checked subscription, ready to be matched and sent to.
/// [`SubscriptionOptions`](crate::subscription::options::SubscriptionOptions) explains the fields.
#[derive(Clone)]
pub struct Subscription {
    /// The immutable id.
    pub id: i64,
    /// The name.
    pub name: String,
    /// Where the events go.
    pub target: Target,
    /// Which events it gets.
    pub wanted: Arc<Wanted>,
    /// Its own headers.
    pub headers: Headers,
    /// How its requests look.
    pub style: Style,
    /// The secrets in its url, headers and template.
    pub secrets: NamedSecrets,
    /// The signature's scheme and secrets; no secret if it was lost.
    pub signing: Signing,
    /// Whether to keep failed requests.
    pub keeps_failed: bool,
    /// The maximum duration of an attempt.
    pub timeout: Duration,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// The maximum number of requests under way at once.
    pub max_concurrency: usize,
    /// The maximum size of a body, in bytes.
    pub max_payload: usize,
    /// The maximum age of a delivery before it expires.
    pub max_age: Option<Duration>,
    /// The maximum number of pending deliveries.
    pub max_backlog: Option<u64>,
    /// Which deliveries follow each other.
    pub ordering: Option<Ordering>,
    /// The times of day at which it is sent to; what comes outside is held.
    pub active_hours: Option<Arc<ActiveHours>>,
    /// When its receiver counts as down.
    pub breaker: Option<BreakerPolicy>,
    /// The maximum deliveries per minute that its receiver wants.
    pub rate: Option<u32>,
    /// The maximum rate of requests to its receiver.
    pub rate_limit: Option<Rate>,
    /// How often the url or the handshake has changed: a receiver's answer to an earlier generation does not count.
    pub generation: i32,
    /// What happens to matching events.
    pub state: State,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
