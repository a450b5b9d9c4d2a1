//! The pure part of pg_herald: no PostgreSQL, no sockets, no clock. `now` and randomness are arguments.
#![forbid(unsafe_code)]
