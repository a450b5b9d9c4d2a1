//! Events as a statement reads them, and how many of them one answer holds.

use herald_dispatch::log::Logged;

use crate::database::rows::EventRow;

/// The most bytes of events in a slice, or in a claim, unless it is a single event. Less than with PostgreSQL, so that
/// the limit is reached.
pub const SLICE_BYTES: usize = 1 << 20;

/// Returns a copy of the row as a query does, without data larger than `largest`.
pub(crate) fn logged(row: &EventRow, largest: i32) -> Logged {
    let mut event = row.event.clone();
    if event.size > largest {
        event.data = None;
    }
    Logged {
        event,
        xid: row.xid,
    }
}

/// Returns as many of these as fit into one answer, and whether these are all.
pub(crate) fn within_bytes<'r>(
    rows: impl Iterator<Item = &'r EventRow>,
    largest: i32,
    most_bytes: usize,
) -> (Vec<Logged>, bool) {
    let (mut read, mut bytes) = (Vec::new(), 0);
    for row in rows {
        bytes += row.event.memory();
        if bytes > most_bytes && !read.is_empty() {
            return (read, false);
        }
        read.push(logged(row, largest));
    }
    (read, true)
}
