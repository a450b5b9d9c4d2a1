//! Reads the log in windows: the events that one snapshot shows and an older one did not.
//!
//! Everything here runs inside the caller's transaction. [`herald_dispatch`] decides which numbers are read, and when.

use super::row::{self, bare, logged};
use crate::pg::memory::Memory;
use crate::pg::pages::Pages;
use crate::pg::{identity, lock, sequence, transaction, wal};
use crate::prepared::Prepared;
use herald_core::snapshot::Snapshot;
use herald_dispatch::log::{Before, Logged, Look, SLICE_EVENTS, SLOTS, Slice, Window};
use pgrx::datum::DatumWithOid;
use pgrx::spi::SpiClient;
use pgrx::{PgSqlErrorCode, pg_sys};

/// The most bytes of events in a slice, or in a claim from pending; a single event may have more.
const SLICE_BYTES: usize = 8 << 20;
/// The most rows fetched at once. A row is no longer than a page of the table: longer values are stored out of line,
/// and fetched when there is room for them.
const PAGE: usize = 50;

/// Returns what a look needs from before its snapshot; called before the transaction takes one. Raises an ERROR while
/// the log must not be read further.
pub fn before_look(extension: pg_sys::Oid, event_seq: pg_sys::Oid) -> Before {
    if !lock::may_read(extension) {
        pgrx::ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            "a subscription with start_from is being committed"
        );
    }
    let last_number = sequence::last_value(event_seq);
    Before {
        last_number,
        next_id: transaction::next_id(),
    }
}

/// Looks at what is visible now. `loaded` is the snapshot in which the configuration was loaded.
pub fn look(client: &mut SpiClient<'_>, loaded: &Snapshot) -> Option<Look> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/look.sql"));
    let row = STATEMENT
        .run(client, vec![loaded.to_string().into()])
        .first();
    Some(Look {
        snapshot: row.get::<String>(1).ok()??.parse().ok()?,
        upper_seq: row.get::<i64>(2).ok()??,
        has_changes: row.get::<bool>(3).ok()??,
        written: wal::written(),
    })
}

/// Reads the window's events from its next number up to `end`. Does not fetch data larger than `largest`.
pub fn slice(client: &mut SpiClient<'_>, window: &Window, end: i64, largest: i32) -> Slice {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/read_window.sql"));
    let limit = SLICE_EVENTS as i64;
    let mut arguments: Vec<DatumWithOid<'_>> = vec![
        window.read_to.into(),
        end.into(),
        window.from.to_string().into(),
        window.to.to_string().into(),
        identity::origin().into(),
        limit.into(),
    ];
    arguments.extend(slot_arguments(&window.slots));
    let (events, is_complete) =
        read_pages(STATEMENT.pages(client, arguments), largest, SLICE_BYTES);
    Slice {
        events,
        is_complete,
    }
}

/// Reads only what matching needs of the event with the next number.
pub fn bare_slice(client: &mut SpiClient<'_>, window: &Window) -> Slice {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/read_bare.sql"));
    let arguments: Vec<DatumWithOid<'_>> = vec![
        window.next_number().into(),
        window.from.to_string().into(),
        window.to.to_string().into(),
        identity::origin().into(),
    ];
    let mut pages = STATEMENT.pages(client, arguments);
    let page = pages.next(1);
    Slice {
        events: page.rows().filter_map(|row| bare(&row)).collect(),
        is_complete: true,
    }
}

/// Loads the events at these places of the log, up to `most_bytes` or one event, and returns whether those are all.
pub fn load_events(
    client: &mut SpiClient<'_>,
    places: &[(i16, i64)],
    largest: i32,
    most_bytes: usize,
) -> (Vec<Logged>, bool) {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/load_events.sql"));
    let mut slots: Vec<i16> = places.iter().map(|(slot, _)| *slot).collect();
    slots.sort_unstable();
    slots.dedup();
    let seqs: Vec<i64> = places.iter().map(|(_, seq)| *seq).collect();
    let mut arguments: Vec<DatumWithOid<'_>> = vec![seqs.into()];
    arguments.extend(slot_arguments(&slots));
    read_pages(
        STATEMENT.pages(client, arguments),
        largest,
        most_bytes.min(SLICE_BYTES),
    )
}

/// Returns the slots as 32 parameters, filled up with the last slot.
fn slot_arguments(slots: &[i16]) -> impl Iterator<Item = DatumWithOid<'static>> {
    let last = slots.last().copied().unwrap_or(0);
    let missing = (SLOTS as usize).saturating_sub(slots.len());
    let all: Vec<i16> = slots
        .iter()
        .copied()
        .chain(std::iter::repeat_n(last, missing))
        .collect();
    all.into_iter().map(DatumWithOid::from)
}

/// Reads the events of a query, up to `most_bytes` or one event, and returns whether those are all.
fn read_pages(mut pages: Pages<'_>, largest: i32, most_bytes: usize) -> (Vec<Logged>, bool) {
    let mut memory = Memory::of_statement(c"pg_herald row");
    let (mut events, mut bytes) = (Vec::new(), 0);
    loop {
        let page = pages.next(PAGE);
        let mut fetched = 0;
        for row in page.rows() {
            fetched += 1;
            bytes += row::bytes(&row, largest);
            if bytes > most_bytes && !events.is_empty() {
                return (events, false);
            }
            let Some(logged) = memory.run_and_empty(|| logged(&row, largest)) else {
                pgrx::error!("pg_herald: a row of herald.event could not be read");
            };
            events.push(logged);
        }
        if fetched < PAGE {
            return (events, true);
        }
    }
}
