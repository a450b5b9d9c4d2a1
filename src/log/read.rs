//! Reading the log by windows: what one snapshot shows and an older one did not.
//!
//! A number from a sequence says nothing about when its transaction commits, so "everything above the last number"
//! loses events. Numbers only bound the scan; snapshots decide. Everything here runs inside the caller's transaction.

use super::append::PERIOD_VALID;
use super::row::{self, Logged, bare, logged};
use crate::pg::memory::Memory;
use crate::pg::pages::Pages;
use crate::pg::wal::{self, Written};
use crate::pg::{identity, lock, sequence, transaction};
use crate::prepared::Prepared;
use herald_core::floors::{Floor, Floors};
use herald_core::slices::Extent;
use herald_core::snapshot::Snapshot;
use pgrx::datum::DatumWithOid;
use pgrx::spi::SpiClient;
use pgrx::{PgSqlErrorCode, pg_sys};
use std::time::Duration;

/// A slice of a window has at most this many events, and looks at most at this many numbers, to stay within
/// milliseconds.
const SLICE_EVENTS: usize = 500;
pub const SLICE_NUMBERS: i64 = 20_000;
/// The events of a slice, and of a claim from the pending deliveries, in bytes; or one event.
const SLICE_BYTES: usize = 8 << 20;
/// Rows fetched at once, at most. Each is no longer than a page of the table: what is longer is stored elsewhere, and
/// fetched when there is room for it.
const PAGE: usize = 50;
/// A writer takes its slot from its clock; its row is found as long as that is no more wrong than this.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
const SECOND: i64 = 1_000_000;

/// How far the log was read, and what is needed to read on.
#[derive(Debug, Clone)]
pub struct Position {
    pub snapshot: Snapshot,
    floors: Floors,
}

/// What is read before a look takes its snapshot, in this order; see [`herald_core::floors`].
#[derive(Debug, Clone, Copy)]
pub struct Before {
    pub last_number: i64,
    pub next_id: u64,
}

/// The events between two snapshots, and how far they were read.
#[derive(Debug, Clone)]
pub struct Window {
    pub number: i64,
    pub from: Snapshot,
    pub to: Snapshot,
    pub floor_seq: i64,
    pub upper_seq: i64,
    pub next_seq: i64,
    pub next_floor_seq: i64,
    /// Whether a row of `herald.window` says that it is open.
    pub is_open: bool,
    /// Whether an earlier worker may have delivered a part of it.
    pub is_recovered: bool,
    /// The end of the write-ahead log when it was looked at, or later.
    pub written: Written,
    slots: Vec<i16>,
    read_to: i64,
}

/// What a look at the log showed.
#[derive(Debug)]
pub struct Look {
    pub snapshot: Snapshot,
    pub upper_seq: i64,
    /// Something that the worker keeps in memory changed.
    pub has_changes: bool,
}

impl Position {
    /// Continues from a stored position, of which only the lowest floor is known.
    pub fn restored(snapshot: Snapshot, next_floor_seq: i64) -> Self {
        let floor = Floor {
            seq: next_floor_seq,
            at_micros: i64::MIN,
        };
        let floors = Floors::restored(&snapshot, floor);
        Self { snapshot, floors }
    }

    /// Moves on to what `look` showed. Returns the window in between.
    pub fn advance(&mut self, look: &Look, before: Before, now_micros: i64, ring: Ring) -> Window {
        let floor = self.floors.of_window(&self.snapshot, &look.snapshot);
        let newest = Floor {
            seq: before.last_number,
            at_micros: now_micros,
        };
        self.floors.advance(&look.snapshot, before.next_id, newest);
        let from = std::mem::replace(&mut self.snapshot, look.snapshot.clone());
        Window {
            number: 0,
            from,
            to: look.snapshot.clone(),
            floor_seq: floor.seq,
            upper_seq: look.upper_seq,
            next_seq: before.last_number,
            next_floor_seq: self.floors.lowest().seq,
            is_open: false,
            is_recovered: false,
            slots: ring.slots_between(floor.at_micros, now_micros),
            written: wal::written(),
            read_to: floor.seq,
        }
    }
}

impl Window {
    /// A window that an earlier worker opened and did not close.
    pub fn recovered(
        number: i64,
        from: Snapshot,
        to: Snapshot,
        floor_seq: i64,
        upper_seq: i64,
    ) -> Self {
        Self {
            number,
            from,
            to,
            floor_seq,
            upper_seq,
            next_seq: upper_seq,
            next_floor_seq: floor_seq,
            is_open: true,
            is_recovered: true,
            slots: (0..super::append::SLOTS as i16).collect(),
            written: wal::written(),
            read_to: floor_seq,
        }
    }

    /// Whether it certainly has no event.
    pub fn is_empty(&self) -> bool {
        self.upper_seq <= self.floor_seq
    }

    pub fn is_read(&self) -> bool {
        self.read_to >= self.upper_seq
    }

    /// Reads on, by one slice. Data larger than `largest` is left where it is.
    pub fn read_slice(
        &mut self,
        client: &mut SpiClient<'_>,
        largest: i32,
        extent: Extent,
    ) -> Vec<Logged> {
        match extent {
            Extent::Numbers(numbers) => self.read_numbers(client, largest, numbers),
            Extent::Bare => {
                let events = self.read_bare(client);
                self.read_to += 1;
                events
            }
            Extent::PassedBy => {
                self.read_to += 1;
                Vec::new()
            }
        }
    }

    /// The number that is read next.
    pub fn next_number(&self) -> i64 {
        self.read_to + 1
    }

    /// As much as matching needs of the event with the next number.
    fn read_bare(&self, client: &mut SpiClient<'_>) -> Vec<Logged> {
        static STATEMENT: Prepared =
            Prepared::read(include_str!("../../sql/queries/read_bare.sql"));
        let arguments: Vec<DatumWithOid<'_>> = vec![
            self.next_number().into(),
            self.from.to_string().into(),
            self.to.to_string().into(),
            identity::origin().into(),
        ];
        let mut pages = STATEMENT.pages(client, arguments);
        let page = pages.next(1);
        page.rows().filter_map(|row| bare(&row)).collect()
    }

    fn read_numbers(
        &mut self,
        client: &mut SpiClient<'_>,
        largest: i32,
        numbers: i64,
    ) -> Vec<Logged> {
        static STATEMENT: Prepared =
            Prepared::read(include_str!("../../sql/queries/read_window.sql"));
        let up_to = self.upper_seq.min(self.read_to.saturating_add(numbers));
        let limit = SLICE_EVENTS as i64;
        let mut arguments: Vec<DatumWithOid<'_>> = vec![
            self.read_to.into(),
            up_to.into(),
            self.from.to_string().into(),
            self.to.to_string().into(),
            identity::origin().into(),
            limit.into(),
        ];
        arguments.extend(slot_arguments(&self.slots));
        let (events, is_complete) = read_pages(STATEMENT.pages(client, arguments), largest);
        self.read_to = match events.last() {
            Some(last) if !is_complete || events.len() == SLICE_EVENTS => last.event.seq,
            _ => up_to,
        };
        events
    }
}

/// The slot of `herald.window` for a window's number: ten thousand in a row share one.
pub fn window_slot(number: i64) -> i16 {
    (number.div_euclid(10_000)).rem_euclid(4) as i16
}

/// The ring of event slots: how long a slot is written.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    pub period_micros: i64,
    /// From then on nobody writes by another period.
    settled_at_micros: i64,
}

impl Ring {
    /// A ring whose period was changed then, if ever. Sessions go by the former one until they read it again, and an
    /// event in a slot that nobody looks into would be lost.
    pub fn changed(period_micros: i64, at_micros: Option<i64>) -> Self {
        let settling = (PERIOD_VALID + CLOCK_TOLERANCE).as_micros() as i64;
        Self {
            period_micros,
            settled_at_micros: at_micros.map_or(i64::MIN, |at| at.saturating_add(settling)),
        }
    }

    /// The slots that may have been written between two times, with a wide margin for clocks.
    fn slots_between(self, since_micros: i64, now_micros: i64) -> Vec<i16> {
        let period = self.period_micros.max(1);
        let margin = period.max(CLOCK_TOLERANCE.as_micros() as i64);
        let first = since_micros.saturating_sub(margin).div_euclid(period);
        let last = now_micros.saturating_add(margin).div_euclid(period);
        let is_settled = since_micros >= self.settled_at_micros;
        if !is_settled || last.saturating_sub(first) >= super::append::SLOTS - 1 {
            return (0..super::append::SLOTS as i16).collect();
        }
        (first..=last)
            .map(|turn| turn.rem_euclid(super::append::SLOTS) as i16)
            .collect()
    }
}

/// What a look needs to know; called before the transaction takes its snapshot. Raises an ERROR while the log must not be
/// read on.
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

/// Looks at what can be seen now. `loaded` is the snapshot in which the configuration was loaded.
pub fn look(client: &mut SpiClient<'_>, loaded: &Snapshot) -> Option<Look> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/look.sql"));
    let row = STATEMENT
        .run(client, vec![loaded.to_string().into()])
        .first();
    Some(Look {
        snapshot: row.get::<String>(1).ok()??.parse().ok()?,
        upper_seq: row.get::<i64>(2).ok()??,
        has_changes: row.get::<bool>(3).ok()??,
    })
}

/// The events at these places of the log, and whether that is all there are: they may be too large for one claim.
pub fn load_events(
    client: &mut SpiClient<'_>,
    places: &[(i16, i64)],
    largest: i32,
) -> (Vec<Logged>, bool) {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/load_events.sql"));
    let mut slots: Vec<i16> = places.iter().map(|(slot, _)| *slot).collect();
    slots.sort_unstable();
    slots.dedup();
    let seqs: Vec<i64> = places.iter().map(|(_, seq)| *seq).collect();
    let mut arguments: Vec<DatumWithOid<'_>> = vec![seqs.into()];
    arguments.extend(slot_arguments(&slots));
    read_pages(STATEMENT.pages(client, arguments), largest)
}

/// The slots as 32 parameters: those that are not needed repeat the last one.
fn slot_arguments(slots: &[i16]) -> impl Iterator<Item = DatumWithOid<'static>> {
    let last = slots.last().copied().unwrap_or(0);
    let missing = (super::append::SLOTS as usize).saturating_sub(slots.len());
    let all: Vec<i16> = slots
        .iter()
        .copied()
        .chain(std::iter::repeat_n(last, missing))
        .collect();
    all.into_iter().map(DatumWithOid::from)
}

/// The events of a query until they are enough for once, and whether that was all.
fn read_pages(mut pages: Pages<'_>, largest: i32) -> (Vec<Logged>, bool) {
    let mut memory = Memory::of_statement(c"pg_herald row");
    let (mut events, mut bytes) = (Vec::new(), 0);
    loop {
        let page = pages.next(PAGE);
        let mut fetched = 0;
        for row in page.rows() {
            fetched += 1;
            bytes += row::bytes(&row, largest);
            if bytes > SLICE_BYTES && !events.is_empty() {
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

/// How long the worker may be behind before it remembers how far it read although nothing matched.
pub const REMEMBER_AFTER_EVENTS: i64 = 10_000;
/// The same in time.
pub const REMEMBER_AFTER_MICROS: i64 = 60 * SECOND;
