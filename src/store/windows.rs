//! Where an earlier worker stopped.

use crate::pg::transaction::{TransactionError, transaction};
use crate::pg::{identity, wal};
use crate::prepared::Prepared;
use herald_core::snapshot::Snapshot;
use herald_dispatch::log::{Ring, Window};
use herald_dispatch::reader::Reader;
use herald_dispatch::seen::{self, SeenTypes};
use pgrx::Spi;
use pgrx::spi::{SpiClient, SpiTupleTable};
use std::collections::VecDeque;

/// A day: the period of the ring if none is stored.
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Finds where an earlier worker stopped: after the longest run of closed windows. The open ones are to be read again.
pub fn restore(now_micros: i64) -> Result<(Reader, Ring), TransactionError> {
    let seen = transaction(|| Spi::connect_mut(load_seen_types))?;
    transaction(|| {
        Spi::connect_mut(|client| {
            let ring = load_ring(client);
            let (last, reading) = load_windows(client);
            (Reader::restored(&last, reading, seen, now_micros), ring)
        })
    })
}

fn load_ring(client: &mut SpiClient<'_>) -> Ring {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../sql/queries/load_ring_period.sql"));
    let period = STATEMENT.run(client, vec![]).first().get_two::<i64, i64>();
    let (period, changed_at) = period.unwrap_or((None, None));
    Ring::changed(period.unwrap_or(DAY_MICROS), changed_at)
}

/// Returns the last window, and those that were not closed.
fn load_windows(client: &mut SpiClient<'_>) -> (Window, VecDeque<Window>) {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/load_windows.sql"));
    let mut rows = STATEMENT.run(client, vec![identity::origin().into()]);
    let mut reading = VecDeque::new();
    let mut last = None;
    while rows.next().is_some() {
        let stored = stored_window(&rows).unwrap_or_else(|| {
            pgrx::error!("pg_herald: a row of herald_internal.window could not be read")
        });
        if !stored.is_closed {
            reading.push_back(stored.window.clone());
        }
        last = Some((stored.window, stored.timeline));
    }
    let Some((last, last_timeline)) = last else {
        pgrx::error!("pg_herald: herald_internal.window has no row of this database")
    };
    let timeline = identity::timeline();
    if ![0, timeline].contains(&last_timeline) {
        pgrx::warning!(
            "pg_herald: this cluster was promoted or recovered to a new timeline ({timeline}, was {last_timeline}), \
             and its deliveries continue; ensure that the old primary sends nothing"
        );
    }
    (last, reading)
}

/// Returns the event types that earlier workers saw.
fn load_seen_types(client: &mut SpiClient<'_>) -> SeenTypes {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../sql/queries/load_seen_types.sql"));
    let mut rows = STATEMENT.run(client, vec![(seen::MOST as i64).into()]);
    let mut known = Vec::with_capacity(rows.len());
    while rows.next().is_some() {
        known.extend(rows.get::<String>(1).ok().flatten());
    }
    SeenTypes::of(known)
}

struct StoredWindow {
    window: Window,
    timeline: i32,
    is_closed: bool,
}

fn stored_window(row: &SpiTupleTable<'_>) -> Option<StoredWindow> {
    let number = |name: &str| row.get_by_name::<i64, _>(name).ok().flatten();
    let snapshot = |name: &str| -> Option<Snapshot> {
        row.get_by_name::<String, _>(name)
            .ok()
            .flatten()?
            .parse()
            .ok()
    };
    let mut window = Window::recovered(
        number("number")?,
        (snapshot("from_snapshot")?, snapshot("to_snapshot")?),
        (number("floor_seq")?, number("upper_seq")?),
        wal::written(),
    );
    window.next_seq = number("next_seq")?;
    window.next_floor_seq = number("next_floor_seq")?;
    Some(StoredWindow {
        window,
        timeline: row.get_by_name::<i32, _>("timeline").ok()??,
        is_closed: row.get_by_name::<bool, _>("is_closed").ok()??,
    })
}
