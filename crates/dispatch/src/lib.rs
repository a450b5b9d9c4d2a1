//! The worker's mind: decides what the worker does next, without PostgreSQL, sockets, threads, a clock or random
//! numbers.
//!
//! This is step 3 of the pipeline, between the log and the record. The outside world comes in as arguments: the
//! [`time`], what was read, what came back. So the same arguments always lead to the same decisions, and nothing here
//! waits. It acts through two traits: the [`store`] reads and writes, the [`courier`] sends. Everything else it returns
//! as [`effects`], which the caller carries out.
//!
//! The [`mind`] holds everything that the worker keeps in memory, and the parts of its turn; each part borrows what it
//! needs.
//!
//! **Reading.** The [`reader`] reads the [`log`] in windows between two snapshots, as often as its [`looks`] allow.
//! [`floors`] say where to start looking for events that a snapshot shows and an earlier one did not; [`slices`] bound
//! how much is read, or done, at once. [`subscriptions`] match the events, and [`reading`] puts the deliveries into
//! lanes.
//!
//! **Queueing.** Deliveries wait in their subscription's [`lane`]; a [`survey`] looks at all [`lanes`] together. A
//! [`claim`] fetches pending deliveries; in a lane with an [`order`], those whose turn has come. What is [`scheduled`] is
//! released at its time.
//!
//! **Sending.** [`send`] chooses the next [`work`], for which the [`gate`] needs a thread ([`threads`]) and room in a
//! plan ([`tenants`]). [`pings`] and questions for [`consent`] bypass the lanes.
//!
//! **Afterwards.** [`settle`] decides how a delivery continues. Its [`record`] waits in the [`ledger`] until
//! [`recording`] writes it, or is [`set_aside`]; recording also closes the [`windows`] of the log. [`burials`] take the
//! deliveries of [`ended`] subscriptions, [`shedding`] [`walk`]s along backlogs that are too long, and the [`house`]
//! says which part of it is to be [`cleaned`].
//!
//! **Failing.** Each of the [`steps`] of a turn fails alone, with a [`failure`] of the store, which the [`report`]
//! shows. After a crash of the worker itself, [`deaths`] decides how the next worker starts, which sends the
//! [`suspects`] one at a time.

#![forbid(unsafe_code)]

pub mod breaker;
pub mod burials;
pub mod claim;
pub mod cleaned;
pub mod consent;
pub mod courier;
pub mod deaths;
pub mod effects;
pub mod ended;
pub mod failure;
pub mod floors;
pub mod former;
pub mod gate;
pub mod hosts;
pub mod house;
pub mod lane;
pub mod lanes;
pub mod ledger;
pub mod limits;
pub mod log;
pub mod looks;
pub mod mind;
pub mod order;
pub mod pace;
pub mod pings;
pub mod probes;
pub mod reader;
pub mod reading;
pub mod record;
pub mod recording;
pub mod report;
pub mod scheduled;
pub mod seen;
pub mod send;
pub mod set_aside;
pub mod settle;
pub mod shedding;
pub mod slices;
mod split;
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
mod waiting;
pub mod walk;
pub mod windows;
pub mod work;
