//! The pure logic of pg_herald: events, matching, requests, and what follows an attempt.
//!
//! The pipeline is capture -> log -> dispatch -> record. This crate holds its decisions and none of its effects; the
//! worker's turn is in `herald-dispatch`. The crate uses neither PostgreSQL nor sockets, takes the time and random
//! numbers as arguments, and never blocks.
//!
//! **Capture.** [`attributes`] and [`extensions`] check the arguments of `emit` within [`limits`], and [`json`]
//! minifies data. The result is an [`event`] with a [`uid`], which the log stores and dispatch reads back.
//!
//! **Matching.** [`options`] are a subscription's settings as plain data; they compile into a [`subscription`]. The
//! [`matcher`] is built from all subscriptions and finds those that get an event, by tenant and by [`globs`] for its
//! type. The difference of two [`snapshot`]s tells which events are new.
//!
//! **Sending.** [`request`] builds the exact bytes to send, in the subscription's [`style`]: the body in a
//! [`format`](mod@format), made [`canonical`] where the receiver needs that, the [`signature`] over it by a [`scheme`],
//! the credentials of [`auth`], and the subscription's own [`target`] and [`headers`] with their [`placeholders`] and
//! named [`secrets`]. [`handshake`] asks the receiver for consent first. An [`agent`] key tells which connections the
//! request may share. [`url_policy`] decides which urls may be stored and which addresses dialled, and [`proxy`] asks a
//! proxy to dial them. Code that walks data checks its [`depth`] first.
//!
//! **Afterwards.** The sender turns an attempt into an [`outcome`], and [`retry`] decides how the delivery continues.
//!
//! **Beside the pipeline.** [`verify`] is the receiver's side of the signature. The [`vault`] seals secrets for
//! storage. [`error`] tells users why something is refused, and [`suggest`] finds the name they meant. [`lock`]
//! numbers the names of locks.

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
