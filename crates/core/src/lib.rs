//! The pure part of pg_herald: what an event is, who gets it, what is sent, and what happens afterwards.
//!
//! The pipeline is capture -> log -> dispatch -> record. This crate holds its decisions and none of its effects; what
//! concerns the worker's turn is in `herald-dispatch`. It sees neither PostgreSQL nor sockets, takes the time and random numbers as arguments, and never blocks.
//!
//! **Capture.** [`attributes`] and [`extensions`] check what `emit` is given, within [`limits`], and [`json`] minifies data. The result is
//! an [`event`] with a [`uid`], which the log stores and dispatch reads back.
//!
//! **Matching.** [`options`] are a subscription's settings as plain data; compiled, they are a [`subscription`]. The
//! [`matcher`] is made from all of them and finds those that get an event, by tenant and by the [`globs`] for its type.
//! Which events are new is the difference of two [`snapshot`]s.
//!
//! **Sending.** [`request`] builds exactly what is sent, as the subscription's [`style`] says: the body by
//! [`format`](mod@format), in the form that [`canonical`] gives it where the receiver needs that, the [`signature`] over
//! it after a [`scheme`], the credentials of [`auth`], and the subscription's own [`target`] and [`headers`] with their
//! [`placeholders`] and named [`secrets`]. [`handshake`] asks a receiver first. An [`agent`] key says whose connections it may use. [`url_policy`] says which urls may be stored and which addresses
//! may be dialled, [`proxy`] how a proxy is asked to dial them. What walks data asks [`depth`] first.
//!
//! **Afterwards.** The sender turns an attempt into an [`outcome`], and [`retry`] decides what becomes of the delivery.
//!
//! **Beside it.** [`verify`] is the receiver's side of the signature. The [`vault`] is how secrets are stored. [`error`]
//! is what a user is told when something is refused, and [`suggest`] finds the name that was meant. A [`lock`] has a
//! number.

#![forbid(unsafe_code)]

pub mod agent;
pub mod attributes;
pub mod auth;
pub mod canonical;
pub mod depth;
pub mod error;
pub mod event;
pub mod extensions;
pub mod format;
pub mod globs;
pub mod handshake;
pub mod headers;
pub mod json;
pub mod limits;
pub mod lock;
pub mod matcher;
pub mod options;
pub mod outcome;
pub mod placeholders;
pub mod proxy;
pub mod request;
pub mod retry;
pub mod scheme;
pub mod secrets;
pub mod signature;
pub mod snapshot;
pub mod style;
pub mod subscription;
pub mod suggest;
pub mod target;
pub mod uid;
pub mod url_policy;
pub mod vault;
pub mod verify;
