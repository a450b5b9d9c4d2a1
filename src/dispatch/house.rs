//! Housekeeping, a bounded amount at a time, between deliveries.

use super::bury::BURIAL_GAP;
use super::{Worker, now_micros};
use crate::failpoint;
use crate::log::read::Ring;
use crate::pg::query;
use crate::pg::transaction::{TransactionError, transaction};
use crate::prepared::Prepared;
use crate::record::{End, Record};
use pgrx::Spi;
use std::time::{Duration, Instant};

/// How often there is a look for something to clean up; more often where slots are short.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a backlog may be longer than it may be: counting it costs as much as it is long.
const SHED_AFTER: Duration = Duration::from_secs(1);

impl Worker {
    pub(super) fn is_house_due(&self) -> bool {
        Instant::now() >= self.house_due
    }

    /// Empties what is past its retention.
    pub(super) fn keep_house(&mut self) -> Result<(), TransactionError> {
        let text = include_str!("../../sql/queries/keep_house.sql");
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

    /// Remembers that some of these went into a backlog that may not be longer than so much.
    pub(super) fn expect_shedding(&mut self, records: &[Record]) {
        let is_limited = |record: &Record| {
            matches!(record.end, End::Pending { .. })
                && record.work.subscription.max_backlog.is_some()
        };
        if self.shedding_due.is_none() && records.iter().any(is_limited) {
            self.shedding_due = Some(Instant::now() + SHED_AFTER);
        }
    }

    pub(super) fn is_shedding_due(&self) -> bool {
        self.shedding_due.is_some_and(|due| Instant::now() >= due)
    }

    /// Buries what backlogs have too much.
    pub(super) fn shed_backlog(&mut self) -> Result<(), TransactionError> {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/shed_backlog.sql"));
        self.shedding_due = Some(Instant::now() + SHED_AFTER);
        let most = self.shedding_size.get() as i32;
        let began_at = Instant::now();
        let has_more = transaction(|| {
            Spi::connect_mut(|client| {
                let rows = STATEMENT.run(client, vec![most.into()]);
                rows.first().get_one::<bool>()
            })
        })?;
        let took = began_at.elapsed();
        self.shedding_due = matches!(has_more, Ok(Some(true))).then(|| {
            self.shedding_size.took(took.as_micros() as i64);
            Instant::now() + took * BURIAL_GAP
        });
        Ok(())
    }

    /// How long there is nothing to clean up, after a look that found nothing.
    fn quiet(&self) -> Duration {
        Duration::from_micros(self.ring.period_micros.unsigned_abs() / 4).min(LONGEST)
    }
}
