//! Buries pending deliveries: of disabled or removed subscriptions, and of backlogs that are too long.

use crate::pg::transaction::{
    TransactionError, transaction, transaction_within, with_lock_timeout,
};
use crate::prepared::Prepared;
use herald_dispatch::ended::{Buried, Ended, Gone};
use herald_dispatch::walk::{Shed, Walk};
use pgrx::Spi;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a note waits for a lock, and how long it may take in all.
const SHORT_PAUSE: Duration = Duration::from_millis(3);
const LONGEST_NOTE: Duration = Duration::from_secs(1);

/// Disables a subscription whose receiver is gone.
pub fn disable(gone: &Gone) -> Result<(), TransactionError> {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/disable_subscription.sql"));
    with_lock_timeout(SHORT_PAUSE, || {
        transaction_within(LONGEST_NOTE, || {
            Spi::connect_mut(|client| {
                let arguments = vec![
                    gone.subscription.into(),
                    gone.reason.as_str().into(),
                    gone.generation.into(),
                ];
                STATEMENT.run(client, arguments);
            });
        })
    })
}

/// Buries a slice of a subscription's pending deliveries.
pub fn bury(ended: &Ended, most: usize) -> Result<Buried, TransactionError> {
    static STATEMENT: Prepared = Prepared::write(include_str!("../../sql/queries/bury_slice.sql"));
    transaction(|| {
        Spi::connect_mut(|client| {
            let arguments = vec![
                ended.id.into(),
                ended.reason.as_str().into(),
                ended.after_seq.into(),
                (most as i32).into(),
            ];
            let row = STATEMENT.run(client, arguments).first();
            let (count, up_to) = row.get_two::<i64, i64>().unwrap_or_default();
            Buried {
                count: count.unwrap_or(0).unsigned_abs() as usize,
                up_to,
            }
        })
    })
}

/// Returns the subscriptions with a higher id that are disabled or removed and have pending deliveries.
pub fn find_ended(after: i64) -> Result<VecDeque<Ended>, TransactionError> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/find_ended.sql"));
    transaction(|| {
        Spi::connect_mut(|client| {
            let mut rows = STATEMENT.run(client, vec![after.into()]);
            let mut ended = VecDeque::new();
            while rows.next().is_some() {
                if let Ok((Some(id), Some(reason))) = rows.get_two::<i64, String>() {
                    ended.push_back(Ended {
                        id,
                        reason,
                        after_seq: -1,
                    });
                }
            }
            ended
        })
    })
}

/// Walks further along a backlog, or buries some of its excess.
pub fn shed(walk: Walk, most: usize) -> Result<Shed, TransactionError> {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../sql/queries/shed_backlog.sql"));
    transaction(|| {
        Spi::connect_mut(|client| {
            let arguments = vec![
                walk.id.into(),
                walk.passed.into(),
                walk.after_seq.into(),
                (most as i32).into(),
            ];
            let row = STATEMENT.run(client, arguments).first();
            let (passed, after_seq, buried) = row.get_three::<i64, i64, i64>().unwrap_or_default();
            Shed {
                passed: passed.unwrap_or(walk.passed),
                after_seq: after_seq.unwrap_or(walk.after_seq),
                buried: buried.unwrap_or(0).unsigned_abs() as usize,
                is_over: !matches!(row.get::<bool>(4), Ok(Some(false))),
            }
        })
    })
}
