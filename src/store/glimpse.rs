//! What one transaction sees: the log, the notices of changes, the subscriptions.

use super::{changes, points, subscriptions};
use crate::life;
use crate::log::read;
use crate::pg::transaction::flush_at_commit;
use crate::pg::{identity, wal};
use crate::prepared::Prepared;
use crate::settings::UrlPolicies;
use herald_core::snapshot::Snapshot;
use herald_dispatch::deaths::Place;
use herald_dispatch::failure::Failure;
use herald_dispatch::limits::Limits;
use herald_dispatch::log::{Logged, Look, Slice, Window, window_slot};
use herald_dispatch::slices::Extent;
use herald_dispatch::store::{Point, View};
use herald_dispatch::subscriptions::{Changes, Loaded};
use pgrx::spi::SpiClient;
use std::collections::BTreeSet;

/// A transaction with one snapshot. A failure in it raises an ERROR, which rolls it back; so nothing here returns a
/// [`Failure`].
pub struct Glimpse<'a, 'c> {
    pub client: &'a mut SpiClient<'c>,
    pub url_policies: &'a UrlPolicies,
}

impl View for Glimpse<'_, '_> {
    fn look(&mut self, loaded: &Snapshot) -> Result<Look, Failure> {
        let look = read::look(self.client, loaded);
        Ok(look.unwrap_or_else(|| pgrx::error!("pg_herald: the log could not be looked at")))
    }

    fn changes(&mut self, loaded: &Snapshot) -> Result<Changes, Failure> {
        Ok(changes::since(self.client, loaded))
    }

    fn subscriptions(&mut self) -> Result<Vec<i64>, Failure> {
        Ok(subscriptions::find_all(self.client))
    }

    fn load(&mut self, ids: &[i64], oldest: &Snapshot) -> Result<Vec<Loaded>, Failure> {
        Ok(subscriptions::load(
            self.client,
            ids,
            self.url_policies,
            Some(oldest),
        ))
    }

    fn limits(&mut self) -> Result<Limits, Failure> {
        Ok(subscriptions::load_limits(self.client))
    }

    fn slice(
        &mut self,
        window: &Window,
        end: i64,
        largest: i32,
        extent: Extent,
    ) -> Result<Slice, Failure> {
        Ok(match extent {
            Extent::Bare => read::bare_slice(self.client, window),
            _ => read::slice(self.client, window, end, largest),
        })
    }

    fn may_vanish(&mut self, window: &Window, events: &[Logged]) -> Result<bool, Failure> {
        if wal::is_flushed(window.written) {
            return Ok(false);
        }
        let mut xids: Vec<u64> = events.iter().map(|logged| logged.xid).collect();
        xids.sort_unstable();
        xids.dedup();
        Ok(!xids.into_iter().all(wal::is_commit_flushed))
    }

    fn flush_at_commit(&mut self) {
        flush_at_commit();
    }

    fn find_done(&mut self, events: &[Logged]) -> Result<BTreeSet<(i64, i64)>, Failure> {
        static STATEMENT: Prepared =
            Prepared::read(include_str!("../../sql/queries/find_done.sql"));
        let seqs: Vec<i64> = events.iter().map(|logged| logged.event.seq).collect();
        let mut rows = STATEMENT.run(self.client, vec![seqs.into()]);
        let mut done = BTreeSet::new();
        while rows.next().is_some() {
            if let Ok((Some(seq), Some(subscription))) = rows.get_two::<i64, i64>() {
                done.insert((seq, subscription));
            }
        }
        Ok(done)
    }

    /// Opens a window. Its row need not be on disk before the window's events are sent: a worker that does not find it
    /// resumes from the window before, and no later record exists either.
    fn open(&mut self, window: &Window) -> Result<(), Failure> {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/open_window.sql"));
        STATEMENT.run(
            self.client,
            vec![
                window.number.into(),
                identity::origin().into(),
                window_slot(window.number).into(),
                identity::timeline().into(),
                window.from.to_string().into(),
                window.to.to_string().into(),
                window.floor_seq.into(),
                window.upper_seq.into(),
                window.next_seq.into(),
                window.next_floor_seq.into(),
            ],
        );
        Ok(())
    }

    fn is_at(&mut self, place: Place) {
        life::at_event(place);
    }

    fn reached(&mut self, point: Point) {
        points::reached(point);
    }
}
