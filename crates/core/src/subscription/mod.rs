//! Subscriptions: who gets which events, where and how.
//!
//! What people set are [`options`], plain data in stored [`documents`]; [`reference`](mod@reference) is the manual of
//! them. They [`compile`](mod@compile) into a subscription, from which requests are built. Which events are [`wanted`] is
//! said by [`globs`] of types, a tenant and a [`filter`](crate::filter); the [`matcher`] asks that of all subscriptions.
//! Of what they want, they take a [`split`] or a sample; a [`selection`] decides all that for one subscription. The
//! [`ordering`] says which deliveries follow each other. A [`compiled`] subscription is checked: nothing after it refuses
//! an option.

pub mod breaker;
pub mod compile;
pub mod compiled;
pub mod documents;
pub mod globs;
pub mod headers;
pub mod hours;
pub mod matcher;
pub mod members;
pub mod options;
pub mod ordering;
pub mod rate;
pub mod reference;
pub mod secrets;
pub mod selection;
pub mod split;
pub mod state;
pub mod wanted;

pub use self::compiled::Subscription;
pub use self::options::SubscriptionOptions;
pub use self::state::State;
