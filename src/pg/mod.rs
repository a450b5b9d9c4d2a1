//! The unsafe fence: small safe wrappers around the PostgreSQL calls that pgrx leaves raw.
//!
//! Every `unsafe` block of the project is below this module, each with the precondition that makes it sound.
//! Nothing here knows what an event or a subscription is.

pub mod backtrace;
pub mod catalog;
pub mod databases;
pub mod dependency;
pub mod dirty;
pub mod ending;
pub mod entry;
pub mod expression;
pub mod forward;
pub mod guc;
pub mod heap;
pub mod identity;
mod insert;
pub mod json;
pub mod layout;
pub mod lock;
pub mod mailbox;
pub mod mapped;
pub mod memory;
pub mod pages;
pub mod process;
pub mod query;
pub mod quit;
pub mod random;
pub mod relcache;
pub mod rows;
pub mod sequence;
pub mod shmem;
mod symbols;
pub mod time;
pub mod transaction;
pub mod tree;
pub mod trigger;
pub mod user;
pub mod utility;
mod varlena;
pub mod wait;
pub mod wal;
