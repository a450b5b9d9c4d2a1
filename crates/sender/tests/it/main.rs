//! The sender against real sockets and real TLS on the loopback interface. No test leaves this machine.

mod connections;
mod hostile_endpoints;
mod lifecycle;
mod network_policy;
mod oauth2;
mod proxy;
mod responses;
mod support;
mod tls;
