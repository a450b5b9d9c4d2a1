//! Housekeeping, a bounded amount at a time, between deliveries.

use super::{Worker, now_micros};
use crate::failpoint;
use crate::log::read::Ring;
use crate::pg::query;
use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::Prepared;
use pgrx::Spi;
use std::time::{Duration, Instant};

/// How often there is a look for something to clean up; more often where slots are short.
const LONGEST: Duration = Duration::from_secs(60);

impl Worker {
    /// Empties what is past its retention, if it is time for it.
    pub(super) fn keep_house(&mut self) -> Result<(), TransactionError> {
        let text = include_str!("../../sql/queries/keep_house.sql");
        if Instant::now() < self.house_due {
            return Ok(());
        }
        // Also when it fails: deliveries do not wait for it.
        self.house_due = Instant::now() + self.quiet();
        let release_after = self.released_to;
        let done = transaction(|| {
            let done = Spi::connect(|client| {
                let rows = query::may_write(client, text, &[release_after.into()]);
                let row = rows.rows().next()?;
                Some((row.get::<i64>(1), row.get::<bool>(2), row.get::<i64>(3)))
            });
            if matches!(done, Some((_, Some(true), _))) {
                failpoint::reached("mid_truncation");
            }
            done
        })?;
        let (period_micros, has_more, released_to) = done.unwrap_or((None, None, None));
        if let Some(period_micros) = period_micros
            && period_micros != self.ring.period_micros
        {
            self.ring = Ring::changed(period_micros, Some(now_micros()));
        }
        self.released_to = released_to.unwrap_or(0);
        let pause = if has_more == Some(true) {
            Duration::from_millis(20)
        } else {
            self.quiet()
        };
        self.house_due = Instant::now() + pause;
        Ok(())
    }

    /// Ends the sessions of tenants that keep the worker waiting. It is no matter if that fails: it is tried again.
    pub(super) fn end_tenants_in_the_way(&self) {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/end_tenants_in_the_way.sql"));
        let ended = transaction(|| {
            Spi::connect_mut(|client| STATEMENT.run(client, vec![]).first().get_one::<i64>())
        });
        if let Ok(Ok(Some(count @ 1..))) = ended {
            pgrx::log!(
                "pg_herald: ended {count} sessions of tenants that held deliveries locked for over a second"
            );
        }
    }

    /// How long there is nothing to clean up, after a look that found nothing.
    fn quiet(&self) -> Duration {
        Duration::from_micros(self.ring.period_micros.unsigned_abs() / 4).min(LONGEST)
    }
}
