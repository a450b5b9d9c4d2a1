//! The ways out of the server: the addresses that may be called, the proxy that requests go through, and the
//! connections that they may share.

pub mod agent;
pub mod proxy;
pub mod url_policy;
