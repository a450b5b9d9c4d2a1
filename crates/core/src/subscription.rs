//! The subscription: who gets which events, where and how.
//!
//! It is compiled from its [options](crate::options) once per reload; matching and sending only read it.
//! `Debug` must never show a secret, a header's value or the url, which often carries a token.

use std::fmt;
use std::time::Duration;

use crate::globs::TypeGlobs;
use crate::headers::Headers;
pub use crate::options::SubscriptionOptions;
use crate::retry::RetryPolicy;
use crate::secrets::NamedSecrets;
use crate::signature::Signing;
use crate::style::Style;
use crate::target::Target;

/// What a subscription does with the events that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum State {
    /// They are sent.
    #[default]
    Active,
    /// They are matched and held.
    Paused,
    /// They are not matched.
    Disabled,
    /// They are matched, signed and recorded, and nothing is sent.
    Sandbox,
}

impl State {
    /// The text stored in `herald.subscription.state`.
    ///
    /// ```
    /// use herald_core::subscription::State;
    ///
    /// assert_eq!(State::parse(State::Paused.as_str()), Some(State::Paused));
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Paused => "paused",
            State::Disabled => "disabled",
            State::Sandbox => "sandbox",
        }
    }

    /// The state of this name, if there is one.
    ///
    /// ```
    /// use herald_core::subscription::State;
    ///
    /// assert_eq!(State::parse("active"), Some(State::Active));
    /// assert_eq!(State::parse("Active"), None);
    /// ```
    pub fn parse(text: &str) -> Option<State> {
        [
            State::Active,
            State::Paused,
            State::Disabled,
            State::Sandbox,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// A checked subscription, ready to be matched and sent to. The fields mean what [`SubscriptionOptions`] says.
#[derive(Clone)]
pub struct Subscription {
    /// The immutable id.
    pub id: i64,
    /// The name.
    pub name: String,
    /// Where the events go.
    pub target: Target,
    /// The wanted types.
    pub types: TypeGlobs,
    /// Whose events it gets; `None` for everybody's.
    pub tenant: Option<String>,
    /// Its own headers.
    pub headers: Headers,
    /// How requests look.
    pub style: Style,
    /// What its url, headers and template have of secrets.
    pub secrets: NamedSecrets,
    /// How they are signed, and with which secrets; without any where the secret was lost.
    pub signing: Signing,
    /// Whether requests that fail are kept.
    pub keeps_failed: bool,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// How many requests may be under way at once.
    pub max_concurrency: usize,
    /// The most bytes of a body.
    pub max_payload: usize,
    /// How long a delivery may wait before it expires.
    pub max_age: Option<Duration>,
    /// How many deliveries may be pending.
    pub max_backlog: Option<u64>,
    /// How many deliveries a minute its receiver wants.
    pub rate: Option<u32>,
    /// How often the url or the handshake was changed: what a receiver answered to a former one does not count.
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
