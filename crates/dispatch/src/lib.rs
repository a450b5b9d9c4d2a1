//! The worker's mind: what it does next, decided without PostgreSQL, sockets, threads, a clock or random numbers.
//!
//! It is step 3 of the pipeline, between the log and the record. What it needs to know of the world is an argument: the
//! [`time`], what was read, what came back. So the same arguments lead to the same decisions, always, and nothing here
//! waits. It acts through two traits: the [`store`] reads and writes, the [`courier`] sends. What is beside these are
//! [`effects`], which the caller sees to.
//!
//! The [`mind`] has all that the worker keeps in memory, and the parts of its turn; each part takes of it what it needs.
//!
//! **Reading.** The [`reader`] reads the [`log`] by windows between two snapshots, as often as its [`looks`] allow.
//! [`floors`] say where to begin to look for what a snapshot shows and an earlier one did not; [`slices`] say how much is
//! read, or done, at once. [`subscriptions`] match it, and [`reading`] puts the deliveries into lanes.
//!
//! **Queueing.** What matched waits in its subscription's [`lane`], one of all [`lanes`], which a [`survey`] looks at
//! together. What is pending is fetched by a [`claim`].
//!
//! **Sending.** [`send`] chooses the next [`work`], for which the [`gate`] needs a thread ([`threads`]) and room in a plan
//! ([`tenants`]). [`pings`] and questions for [`consent`] go past the lanes.
//!
//! **Afterwards.** [`settle`] decides how a delivery goes on. Its [`record`] waits in the [`ledger`] until [`recording`]
//! has written it down, or is [`set_aside`], and closes the [`windows`] of the log. [`burials`] and the [`house`] clean up.
//!
//! **Failing.** The [`steps`] of a turn fail one by one, for a [`failure`] of the store, which the [`report`] tells. After a
//! crash of the worker itself, [`deaths`] says how the next one starts, and its [`suspects`] are sent one at a time.

#![forbid(unsafe_code)]

pub mod burials;
pub mod claim;
pub mod consent;
pub mod courier;
pub mod deaths;
pub mod effects;
pub mod failure;
pub mod floors;
pub mod gate;
pub mod house;
pub mod lane;
pub mod lanes;
pub mod ledger;
pub mod log;
pub mod looks;
pub mod mind;
pub mod pings;
pub mod reader;
pub mod reading;
pub mod record;
pub mod recording;
pub mod report;
pub mod seen;
pub mod send;
pub mod set_aside;
pub mod settle;
pub mod shedding;
pub mod slices;
pub mod steps;
pub mod store;
pub mod subscriptions;
pub mod survey;
pub mod suspects;
pub mod tenants;
#[cfg(test)]
mod testing;
pub mod threads;
pub mod time;
pub mod tokens;
pub mod windows;
pub mod work;
