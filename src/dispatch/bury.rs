//! Receivers that are gone: their subscription is disabled, and what is pending for it is buried, a slice at a time
//! between deliveries to others. The same for subscriptions that were removed.

use super::Worker;
use crate::pg::transaction::{
    TransactionError, transaction, transaction_within, with_lock_timeout,
};
use crate::prepared::Prepared;
use herald_core::slices::SliceSize;
use herald_core::subscription::Subscription;
use pgrx::Spi;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Deliveries that are buried at once.
pub const SLICE: SliceSize = SliceSize::new(10, 1_000);
/// Burying takes a quarter of the time, at most: after a slice there is none for three times as long as it took.
pub const BURIAL_GAP: u32 = 3;
/// When it is tried again after everything left was locked.
const PAUSE: Duration = Duration::from_secs(1);
/// Answers that are noted in one turn, at most, and how long one waits for a lock.
const NOTED_AT_ONCE: usize = 16;
const BRIEFLY: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub struct Burials {
    /// Subscriptions whose receivers said that they are gone, by which generation of the url, and how, until that is
    /// written down.
    unnoted: VecDeque<(i64, i32, String)>,
    /// Subscriptions with deliveries to bury, and the reason; the next ones come after this id.
    ended: VecDeque<(i64, String)>,
    after: i64,
    /// When the next slice is due, if something may have to be buried.
    due: Option<Instant>,
    size: SliceSize,
    buried_in_round: usize,
}

impl Default for Burials {
    fn default() -> Self {
        Self {
            unnoted: VecDeque::new(),
            ended: VecDeque::new(),
            after: 0,
            // What an earlier worker left.
            due: Some(Instant::now()),
            size: SLICE,
            buried_in_round: 0,
        }
    }
}

impl Burials {
    /// There may be something to bury in a moment.
    pub fn expect(&mut self, after: Duration) {
        self.due.get_or_insert_with(|| Instant::now() + after);
    }

    pub fn due_in(&self) -> Option<Duration> {
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }

    pub fn is_due(&self) -> bool {
        self.due.is_some_and(|due| Instant::now() >= due)
    }

    pub fn has_unnoted(&self) -> bool {
        !self.unnoted.is_empty()
    }
}

impl Worker {
    /// A receiver wants nothing any more. Nothing else is sent to it from now on.
    pub(super) fn end_lane(&mut self, gone: &Subscription, reason: String) {
        let Some(entry) = self.lanes.get(gone.id) else {
            return;
        };
        entry.lane.hold();
        if !entry.is_gone {
            entry.is_gone = true;
            let unnoted = (gone.id, gone.generation, reason);
            self.burials.unnoted.push_back(unnoted);
        }
    }

    /// Disables the subscriptions whose receivers are gone. One that is locked waits, alone.
    pub(super) fn note_gone(&mut self) -> Result<(), TransactionError> {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/disable_subscription.sql"));
        let mut failure = None;
        for _ in 0..self.burials.unnoted.len().min(NOTED_AT_ONCE) {
            let Some((id, generation, reason)) = self.burials.unnoted.pop_front() else {
                break;
            };
            let noted = with_lock_timeout(BRIEFLY, || {
                transaction_within(PAUSE, || {
                    Spi::connect_mut(|client| {
                        let arguments = vec![id.into(), reason.as_str().into(), generation.into()];
                        STATEMENT.run(client, arguments);
                    });
                })
            });
            match noted {
                Ok(()) => {
                    if let Some(entry) = self.lanes.get(id) {
                        entry.is_gone = false;
                    }
                    // It goes by what it is now, also where the answer was for a former url and does not count.
                    self.subscriptions.expire_one(id);
                    self.look_wanted = true;
                    self.burials.expect(Duration::ZERO);
                }
                Err(error) => {
                    self.burials.unnoted.push_back((id, generation, reason));
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Buries a slice of what is pending for subscriptions that are disabled or removed.
    pub(super) fn bury_slice(&mut self) -> Result<(), TransactionError> {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/bury_slice.sql"));
        if self.burials.ended.is_empty() {
            self.burials.ended = find_ended(self.burials.after)?;
        }
        let Some((id, reason)) = self.burials.ended.pop_front() else {
            let burials = &mut self.burials;
            // After a round that found everything locked there is a pause; after one that found nothing, the end.
            let was_empty = std::mem::take(&mut burials.after) == 0;
            let was_in_vain = std::mem::take(&mut burials.buried_in_round) == 0;
            burials.due = (!was_empty).then(|| {
                let pause = if was_in_vain { PAUSE } else { Duration::ZERO };
                Instant::now() + pause
            });
            return Ok(());
        };
        let most = self.burials.size.get();
        let began_at = Instant::now();
        let buried = transaction(|| {
            Spi::connect_mut(|client| {
                let arguments = vec![id.into(), reason.as_str().into(), (most as i32).into()];
                STATEMENT.run(client, arguments).first().get_one::<i64>()
            })
        });
        let took = began_at.elapsed();
        let burials = &mut self.burials;
        burials.due = Some(Instant::now() + took * BURIAL_GAP);
        let buried = buried?.ok().flatten().unwrap_or(0).unsigned_abs() as usize;
        burials.buried_in_round += buried;
        burials.after = burials.after.max(id);
        if buried == most {
            burials.size.took(took.as_micros() as i64);
            burials.ended.push_back((id, reason));
        }
        Ok(())
    }
}

fn find_ended(after: i64) -> Result<VecDeque<(i64, String)>, TransactionError> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/find_ended.sql"));
    transaction(|| {
        Spi::connect_mut(|client| {
            let mut rows = STATEMENT.run(client, vec![after.into()]);
            let mut ended = VecDeque::new();
            while rows.next().is_some() {
                if let Ok((Some(id), Some(reason))) = rows.get_two::<i64, String>() {
                    ended.push_back((id, reason));
                }
            }
            ended
        })
    })
}
