//! The subscription: who gets which events, where and how.
//!
//! It is compiled from its [options](crate::options) once per reload; matching and sending only read it.
//! `Debug` must never show a secret, a header's value or the url, which often carries a token.

use std::fmt;
use std::time::Duration;

use http::Uri;

use crate::globs::TypeGlobs;
use crate::headers::Headers;
pub use crate::options::SubscriptionOptions;
use crate::retry::RetryPolicy;
use crate::signature::Signer;

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
        [State::Active, State::Paused, State::Disabled]
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
    /// Where the events go, normalised. A clone shares the text.
    pub url: Uri,
    /// The wanted types.
    pub types: TypeGlobs,
    /// Whose events it gets; `None` for everybody's.
    pub tenant: Option<String>,
    /// Its own headers.
    pub headers: Headers,
    /// One signer per secret, the current one first; empty where the secret was lost.
    pub signers: Vec<Signer>,
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
