//! What the worker reads and writes: the store of `herald-dispatch`, with PostgreSQL.
//!
//! Each method is its own transaction. [`herald_dispatch`] decides what is done next.

mod breaker;
mod bury;
mod changes;
mod claim;
mod configuration;
mod consent;
mod glimpse;
mod hold;
mod house;
mod points;
pub mod record;
mod report;
mod scheduled;
pub mod subscriptions;
mod windows;

pub use self::breaker::note_breakers;
pub use self::configuration::Configured;
pub use self::consent::note_consent;
pub use self::hold::hold_reason;
pub use self::windows::restore;

use crate::log::read;
use crate::pg::transaction::{self, TransactionError, snapshot_transaction, transaction};
use crate::pg::{process, shmem};
use crate::prepared::Prepared;
use crate::settings::UrlPolicies;
use glimpse::Glimpse;
use herald_core::event::Event;
use herald_core::snapshot::Snapshot;
use herald_dispatch::cleaned::{Cleaned, Part};
use herald_dispatch::ended::{Buried, Ended, Gone};
use herald_dispatch::failure::{Failure, Fault};
use herald_dispatch::log::{Before, Ring};
use herald_dispatch::record::Batch;
use herald_dispatch::report::Report;
use herald_dispatch::store::{
    Claim, Claims, Configuration, Effort, Parked, Point, Recorded, Released, Store, Took, View,
};
use herald_dispatch::tenants::Tenants;
use herald_dispatch::walk::{Shed, Walk};
use pgrx::{Spi, pg_sys};
use std::collections::VecDeque;
use std::time::Instant;

/// The database of this worker.
#[derive(Debug)]
pub struct PgStore {
    pub extension: pg_sys::Oid,
    pub event_seq: pg_sys::Oid,
    pub url_policies: UrlPolicies,
    /// As the session adopted it at its start.
    pub configured: Configured,
}

impl Store for PgStore {
    fn is_woken(&self) -> bool {
        shmem::own_entry().is_some_and(shmem::Entry::is_woken)
    }

    fn glimpse<R>(
        &mut self,
        see: impl FnOnce(&mut dyn View, Before) -> Result<R, Failure>,
    ) -> Took<R> {
        if let Some(entry) = shmem::own_entry() {
            entry.look();
        }
        let (extension, event_seq) = (self.extension, self.event_seq);
        let url_policies = &self.url_policies;
        let seen = measured(|| {
            snapshot_transaction(
                || read::before_look(extension, event_seq),
                |before| {
                    Spi::connect_mut(|client| {
                        let mut glimpse = Glimpse {
                            client,
                            url_policies,
                        };
                        let seen = see(&mut glimpse, before);
                        // Only an ERROR rolls the transaction back.
                        seen.unwrap_or_else(|failure| pgrx::error!("pg_herald: {failure}"))
                    })
                },
            )
        });
        // A session that waits for a synchronous standby stops waiting when the postmaster dies, and its commit becomes
        // visible although no standby has it. If the postmaster still runs after the look, the look saw no such commit.
        process::exit_with_postmaster();
        seen
    }

    fn forget_changes(&mut self, loaded: &Snapshot) -> Result<(), Failure> {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/forget_config_changes.sql"));
        let loaded = loaded.to_string();
        transaction(|| {
            Spi::connect_mut(|client| {
                STATEMENT.run(client, vec![loaded.into()]);
            });
        })?;
        Ok(())
    }

    fn hold_reason(&mut self) -> Result<Option<String>, Failure> {
        Ok(hold_reason()?)
    }

    fn find_due(&mut self, subscriptions: &[i64]) -> Result<Vec<(i64, i64)>, Failure> {
        Ok(claim::find_due(subscriptions)?)
    }

    fn claim(&mut self, claim: &Claim<'_>) -> Took<Claims> {
        measured(|| claim::claim(claim))
    }

    fn claim_keys(&mut self, claim: &Claim<'_>, keys: &[i64]) -> Took<Claims> {
        measured(|| claim::claim_keys(claim, keys))
    }

    fn find_parked(&mut self, subscription: i64, after: Option<i64>, most: usize) -> Took<Parked> {
        measured(|| claim::find_parked(subscription, after, most))
    }

    fn unpark(&mut self, subscription: i64, most: usize) -> Took<usize> {
        measured(|| claim::unpark(subscription, most))
    }

    fn release_scheduled(&mut self, most: usize) -> Took<Released> {
        measured(|| scheduled::release(most))
    }

    fn event_at(&mut self, place: (i16, i64), largest: i32) -> Result<Option<Event>, Failure> {
        let read = transaction(|| {
            Spi::connect_mut(|client| read::load_events(client, &[place], largest, 0).0.pop())
        })?;
        Ok(read.map(|logged| logged.event))
    }

    fn record(&mut self, batch: Batch, effort: Effort, ring: Ring, tenants: &Tenants) -> Recorded {
        let began_at = Instant::now();
        let recorded = record::record(batch, effort, ring, tenants);
        Recorded {
            took: began_at.elapsed(),
            ..recorded
        }
    }

    fn disable(&mut self, gone: &Gone) -> Result<(), Failure> {
        // A stop has no time to disable them one by one.
        if process::stop_requested() {
            return Err(Failure {
                fault: Fault::Locked,
                words: "the worker stops".into(),
                damage: None,
            });
        }
        Ok(bury::disable(gone)?)
    }

    fn find_ended(&mut self, after: i64) -> Result<VecDeque<Ended>, Failure> {
        Ok(bury::find_ended(after)?)
    }

    fn bury(&mut self, ended: &Ended, most: usize) -> Took<Buried> {
        measured(|| bury::bury(ended, most))
    }

    fn shed(&mut self, walk: Walk, most: usize) -> Took<Shed> {
        measured(|| bury::shed(walk, most))
    }

    fn keep_house(&mut self, part: Part) -> Took<Option<Cleaned>> {
        measured(|| house::keep(part))
    }

    fn configuration(&mut self) -> Result<Configuration, Failure> {
        Ok(self.configured.compare(self.extension)?)
    }

    fn report(&mut self, report: &Report, fresh_types: &[String]) -> Result<(), Failure> {
        Ok(report::write(report, fresh_types)?)
    }

    fn reached(&mut self, point: Point) {
        points::reached(point);
    }
}

/// Runs `run` and measures how long it took.
fn measured<R>(run: impl FnOnce() -> Result<R, TransactionError>) -> Took<R> {
    let began_at = Instant::now();
    let result = run().map_err(Failure::from);
    Took {
        result,
        took: began_at.elapsed(),
    }
}

impl From<TransactionError> for Failure {
    fn from(error: TransactionError) -> Self {
        let fault = match error.fault() {
            _ if error.is_missing_table() => Fault::Gone,
            transaction::Fault::Others => Fault::Locked,
            transaction::Fault::Server => Fault::Other,
            transaction::Fault::Value => Fault::Refused,
        };
        Self {
            fault,
            words: error.to_string(),
            damage: error.may_be_a_bad_row().then(|| error.damage()),
        }
    }
}
