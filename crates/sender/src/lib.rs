//! Sends prepared requests over HTTP and hands back their outcomes; the last step before `record`.
//!
//! ```text
//! dispatch --Sender::send--> [work channel] --> send thread: Prepare::prepare, then one HTTP exchange
//! dispatch <--Sender::outcomes-- [outcome channel] <-- Attempted { work, outcome } + a coalesced wake-up
//! ```
//!
//! - [`sender`]: the interface: start, send, outcomes, close, shut down
//! - [`settings`]: how the pool is started
//! - `work`: the trait [`Prepare`] of works, and [`Attempted`] ones
//! - `thread`: the loop of a send thread; a panic becomes an outcome
//! - `attempt`: one request, from prepared to outcome: deadlines, the response, the retry on a stale connection
//! - `agents`: one ureq agent for each (tenant, TLS profile), so that each uses only its own connections
//! - `resolver`: names to addresses for ureq, and the one place where the network policy is enforced
//! - `dns`: look-up threads and cache; `shares`: which name is looked up next
//! - `connector`, `line`, `socket`: connections, with and without TLS
//! - `transport`: a connection under ureq's HTTP; `pool`: idle connections
//! - `tls`: trusted certificates and client certificates
//! - `tokens`: OAuth 2.0 tokens for client credentials, until they end
//! - `failure`: what went wrong, as a class and in words for a DBA
//! - `wake`: one wake-up for a batch of outcomes
//!
//! The crate sees neither PostgreSQL nor subscriptions. It never follows a redirect, uses a proxy from the environment,
//! dials an address that the policy denies, reads a body without a cap, or spawns a thread after [`Sender::start`]. A
//! failed request is an [`Outcome`](herald_core::attempt::outcome::Outcome), not an error.

#![forbid(unsafe_code)]

mod agents;
mod attempt;
mod connector;
mod dns;
mod error;
mod failure;
mod head;
mod line;
mod pool;
mod resolver;
pub mod sender;
pub mod settings;
mod shares;
mod socket;
mod thread;
mod tls;
mod tokens;
mod transport;
mod wake;
mod work;

pub use dns::Lookup;
pub use error::Error;
pub use herald_core::egress::agent::{AgentKey, TlsProfile};
pub use sender::{Leftover, Outcomes, Sender};
pub use settings::Settings;
pub use tls::check_tls;
pub use wake::Waker;
pub use work::{Attempted, Prepare};
