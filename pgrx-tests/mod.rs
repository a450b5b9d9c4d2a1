//! The suites that run inside PostgreSQL, each test in its own transaction, which is rolled back.

mod access;
mod arguments;
mod bury;
mod capture_bounds;
mod capture_context;
mod capture_copies;
mod capture_defaults;
mod capture_expressions;
mod capture_keys;
mod capture_parts;
mod capture_rows;
mod capture_security;
mod capture_trees;
mod capture_types;
pub mod contract;
mod emit;
mod house;
mod house_slots;
mod log_append;
mod log_read;
mod log_tables;
mod names;
mod shells;
mod support;
mod watch_ddl;
mod watch_identity;
mod watch_validation;
