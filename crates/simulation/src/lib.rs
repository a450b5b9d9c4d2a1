//! The simulation: the worker's real decisions, in virtual time, against a modelled database and modelled receivers.
//!
//! A seed makes a [`schedule`] of [`deed`]s: writers that commit late, receivers that hang, crashes, users at work.
//! [`run`] plays it: the real `herald-dispatch` turns in the loop of [`worker`], reads and writes through the
//! [`store`], and sends through the [`courier`] to the [`receivers`]. They share one [`world`], whose [`clock`] moves
//! only when time is spent; what is due by then is on its [`agenda`]. A worker's [`death`] leaves a [`file`](mod@file)
//! to the next worker.
//!
//! The [`witness`] remembers all that was sent and recorded, its [`sightings`] say what must never happen, the
//! [`judge`] says what must be true, and the [`epilogue`] ends every schedule. A failed schedule is
//! [`shrink`](mod@shrink)ed, and told as a [`story`].
//!
//! All chance and all timing come from the seed: the same seed always gives the same run.

#![forbid(unsafe_code)]

mod agenda;
mod chance;
mod clock;
pub mod contract;
mod courier;
mod database;
mod death;
pub mod deed;
mod epilogue;
mod file;
mod judge;
mod receivers;
pub mod run;
pub mod schedule;
pub mod shrink;
mod sightings;
mod station;
mod store;
pub mod story;
mod troubles;
mod users;
mod wishes;
mod witness;
mod worker;
mod world;
