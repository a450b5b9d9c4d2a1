//! Filters: which events a subscription wants, beyond their types.
//!
//! Part of matching. The option `filter` is a JSON value in several dialects: those of the CloudEvents Subscriptions
//! API (section 3.2.4), with CloudEvents SQL ([`cesql`]), `data` for people, and `pattern` in the manner of Amazon
//! EventBridge. [`Filter::parse`] compiles each dialect to a tree of [`Rule`]s, in which attributes, [`Condition`]s and
//! patterns end in [`Test`]s of a value. The tree is asked with a [`View`] of an event.
//!
//! Users write filters, so every size in them has a bound, and no test costs more than the product of two lengths.
//! Numbers are compared by value with all their digits, strings by code point, and nothing is converted. Data that
//! cannot be read is [`Unreadable`], never a refusal.

mod bounds;
pub mod cesql;
mod compiled;
mod condition;
pub mod conformance;
mod dialects;
mod explain;
mod index;
mod keys;
mod need;
mod number;
mod paths;
mod pattern;
mod ranges;
mod read;
mod rule;
pub mod sample;
mod scalar;
mod site;
mod sql_view;
mod test;
#[cfg(test)]
mod testing;
mod unseen;
mod value;
mod view;
mod wildcard;
mod words;

pub use bounds::*;
pub use compiled::Filter;
pub use condition::{Condition, Part};
pub use explain::Refusal;
pub use index::FilterIndex;
pub use need::{Need, Place};
pub use number::{Decimal, Number};
pub use paths::{Path, Paths};
pub use pattern::{Choice, Field, Fields, Leaf, Node};
pub use read::Unreadable;
pub use rule::{Root, Rule};
pub use scalar::{Constant, Constants, Scalar};
pub use test::{Bound, IgnoreCase, Range, Test};
pub use unseen::Unseen;
pub use value::{Members, Value};
pub use view::View;
pub use wildcard::Wildcard;

#[cfg(test)]
mod tests;
