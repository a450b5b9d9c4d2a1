//! The reader: decides which slice of the log to read next, and matches its events.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use herald_core::event::Event;
use herald_core::snapshot::Snapshot;
use herald_core::subscription::matcher;

use crate::deaths::Place;
use crate::failure::Failure;
use crate::log::{Before, Logged, Look, Position, Ring, SLICE_NUMBERS, Slice, Window};
use crate::seen::SeenTypes;
use crate::slices::{Damage, Extent};
use crate::store::{Point, View};
use crate::subscriptions::{Changes, Fate, Subscriptions};
use crate::suspects::Suspects;

/// At most this many windows are read in slices beside newer ones.
const WINDOWS_BEING_READ: usize = 4;
/// After this many numbers without a match, the worker stores how far it read.
const REMEMBER_AFTER_EVENTS: i64 = 10_000;
/// The same, after this many microseconds.
const REMEMBER_AFTER_MICROS: i64 = 60_000_000;
/// At most this many subscriptions are read at once.
pub const READ_AT_ONCE: usize = 500;

/// How far the log was read.
#[derive(Debug)]
pub struct Reader {
    cursor: Cursor,
    next_number: i64,
    /// How far the log was read, according to the stored windows.
    remembered_seq: i64,
    remembered_at: i64,
    /// Subscriptions changed since then: the next worker must not match the new ones with events read before.
    must_remember: bool,
    /// How much of a window is read at once.
    pub extent: Extent,
    pub damage: Damage,
    /// The first number of the slice that is being read.
    reading_number: Option<i64>,
    pub seen: SeenTypes,
}

/// The state that advances only if the transaction commits.
#[derive(Debug, Clone)]
pub struct Cursor {
    position: Position,
    /// Windows not yet read to their end, oldest first.
    reading: VecDeque<Window>,
    look_next: bool,
}

/// An event and a subscription that wants it, as far as its filter can decide.
#[derive(Debug)]
pub struct Match {
    pub event: Arc<Event>,
    pub subscription: i64,
    pub fate: Fate,
}

pub type Matched = Vec<Match>;

/// The result of one transaction.
#[derive(Debug)]
pub struct Found {
    /// Whether it looked for new events, and not at the rest of an older window.
    pub is_look: bool,
    pub window: Option<Window>,
    pub matched: Matched,
    /// Changes besides the log, if any.
    pub changes: Option<Changes>,
}

/// Input for reading.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub suspects: &'a Suspects,
    pub ring: Ring,
    pub now_micros: i64,
}

impl Reader {
    /// Continues after the last stored window, and reads again those in `reading`, which were not closed.
    pub fn restored(
        last: &Window,
        reading: VecDeque<Window>,
        seen: SeenTypes,
        now_micros: i64,
    ) -> Self {
        Self {
            cursor: Cursor {
                position: Position::restored(last.to.clone(), last.next_floor_seq),
                reading,
                look_next: false,
            },
            next_number: last.number + 1,
            remembered_seq: last.next_seq,
            remembered_at: now_micros,
            must_remember: false,
            extent: Extent::Numbers(SLICE_NUMBERS),
            damage: Damage::default(),
            reading_number: None,
            seen,
        }
    }

    /// Returns the current place, to go back to if the transaction fails.
    pub fn cursor(&self) -> Cursor {
        self.cursor.clone()
    }

    /// Goes back after a failed transaction. Returns the first number of the slice that was being read, if any.
    pub fn go_back(&mut self, cursor: Cursor) -> Option<i64> {
        self.cursor = cursor;
        self.reading_number.take()
    }

    /// Returns the position up to which the log was read.
    pub fn position(&self) -> &Position {
        &self.cursor.position
    }

    /// Returns the oldest snapshot up to which a window is still read.
    pub fn oldest_snapshot(&self) -> &Snapshot {
        let oldest = self
            .cursor
            .reading
            .iter()
            .min_by_key(|window| window.number);
        oldest.map_or(&self.cursor.position.snapshot, |window| &window.to)
    }

    /// Returns the number up to which all windows that are not yet read to their end were read; `None` if there are none.
    pub fn read_up_to(&self) -> Option<i64> {
        let windows = self.cursor.reading.iter();
        windows.map(|window| window.read_to).min()
    }

    /// Returns whether older windows are not yet read to their end.
    pub fn has_rest(&self) -> bool {
        !self.cursor.reading.is_empty()
    }

    /// Reads the next slice: alternates between older windows not yet read to their end and looks for a new one.
    pub fn next(
        &mut self,
        view: &mut dyn View,
        before: Before,
        subscriptions: &mut Subscriptions,
        context: Context<'_>,
    ) -> Result<Found, Failure> {
        let cursor = &mut self.cursor;
        let may_look = cursor.reading.len() < WINDOWS_BEING_READ;
        let is_look = cursor.reading.is_empty() || cursor.look_next && may_look;
        cursor.look_next = !is_look;
        let look = view.look(&subscriptions.snapshot)?;
        let changes = match look.has_changes {
            true => Some(view.changes(&subscriptions.snapshot)?),
            false => None,
        };
        let now = context.now_micros;
        let oldest = self.oldest_snapshot().clone();
        self.must_remember |= load(view, subscriptions, &look, changes.as_ref(), &oldest, now)?;
        let cursor = &mut self.cursor;
        let window = if is_look {
            Some(cursor.position.advance(&look, before, now, context.ring))
        } else {
            cursor.reading.pop_front()
        };
        let (window, matched) = match window {
            Some(window) => self.read_on(view, window, subscriptions, context)?,
            None => (None, Vec::new()),
        };
        Ok(Found {
            is_look,
            window,
            matched,
            changes,
        })
    }

    /// Reads a slice of the window, and stores the window if necessary.
    fn read_on(
        &mut self,
        view: &mut dyn View,
        mut window: Window,
        subscriptions: &Subscriptions,
        context: Context<'_>,
    ) -> Result<(Option<Window>, Matched), Failure> {
        let mut matched = Vec::new();
        if !window.is_empty() {
            let largest = subscriptions.largest;
            let events = self.read_slice(view, &mut window, largest, context)?;
            let may_vanish = view.may_vanish(&window, &events)?;
            self.seen.note(&events);
            matched = match_slice(view, subscriptions, &window, events)?;
            // An event that may vanish must not be sent.
            if may_vanish && !matched.is_empty() {
                view.flush_at_commit();
            }
        }
        // A window not read to its end is stored before a later one: the next worker continues from the last.
        let must_open = !matched.is_empty()
            || !window.is_read()
            || self.must_be_remembered(&window, context.now_micros);
        if !window.is_open && must_open {
            window.number = self.next_number;
            view.open(&window)?;
            window.is_open = true;
            view.reached(Point::AfterRead);
        }
        let is_of_use = window.is_open || !window.is_empty();
        Ok((is_of_use.then_some(window), matched))
    }

    fn read_slice(
        &mut self,
        view: &mut dyn View,
        window: &mut Window,
        largest: i32,
        context: Context<'_>,
    ) -> Result<Vec<Logged>, Failure> {
        let number = window.next_number();
        self.reading_number = Some(number);
        let extent = self.damage.extent_at(number, self.extent);
        let extent = extent.around(number, context.suspects.given_up());
        self.extent = extent;
        let end = window.slice_end(extent);
        let slice = match extent {
            Extent::PassedBy => Slice {
                events: Vec::new(),
                is_complete: true,
            },
            Extent::Numbers(_) | Extent::Bare => view.slice(window, end, largest, extent)?,
        };
        window.take_in(&slice, end);
        self.reading_number = None;
        Ok(slice.events)
    }

    /// Returns whether a window without deliveries has to be stored, so that the next worker continues from its end. An
    /// idle worker writes nothing.
    fn must_be_remembered(&self, window: &Window, now_micros: i64) -> bool {
        let behind = window.upper_seq - self.remembered_seq;
        behind > 0
            && (self.must_remember
                || behind >= REMEMBER_AFTER_EVENTS
                || now_micros - self.remembered_at >= REMEMBER_AFTER_MICROS)
    }

    /// Adopts the progress of a window after the commit. Returns whether it is read to its end.
    pub fn take_in(&mut self, window: Window, now_micros: i64) -> bool {
        if window.is_open && window.number == self.next_number {
            self.next_number += 1;
            self.remembered_seq = window.upper_seq;
            self.remembered_at = now_micros;
            self.must_remember = false;
        }
        let is_read = window.is_read();
        if !is_read {
            self.cursor.reading.push_front(window);
        }
        is_read
    }
}

/// Reads new and changed subscriptions; how much it reads depends on their number, not on the total. Returns whether
/// anything had to be read.
fn load(
    view: &mut dyn View,
    subscriptions: &mut Subscriptions,
    look: &Look,
    changes: Option<&Changes>,
    oldest: &Snapshot,
    now_micros: i64,
) -> Result<bool, Failure> {
    let mut wanted = subscriptions.wanted(now_micros);
    if let Some(changes) = changes {
        wanted.add(&changes.wanted);
    }
    if wanted.is_empty() && changes.is_none() {
        return Ok(false);
    }
    if wanted.everything || wanted.limits {
        subscriptions.put_limits(view.limits()?);
    }
    let mut ids: BTreeSet<i64> = wanted.ids.clone();
    if wanted.everything {
        ids.extend(view.subscriptions()?);
        ids.extend(subscriptions.ids());
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    for ids in ids.chunks(READ_AT_ONCE) {
        subscriptions.put_all(ids, view.load(ids, oldest)?);
    }
    subscriptions.mark_up_to_date(look.snapshot.clone());
    Ok(!wanted.is_empty())
}

/// Returns the deliveries of a slice, without those that an earlier worker recorded.
fn match_slice(
    view: &mut dyn View,
    subscriptions: &Subscriptions,
    window: &Window,
    events: Vec<Logged>,
) -> Result<Matched, Failure> {
    let done = if window.is_recovered {
        view.find_done(&events)?
    } else {
        BTreeSet::new()
    };
    let (mut found, mut unchanged) = (
        matcher::Found::default(),
        subscriptions.unchanged_in(window),
    );
    let mut matched = Vec::new();
    for logged in events {
        view.is_at(Place::of_event(logged.event.slot, logged.event.seq));
        let ids: Vec<(i64, Fate)> = subscriptions
            .matching(&logged, window, &mut unchanged, &mut found)
            .map(|(to, fate)| (to.config.id, fate))
            .collect();
        if ids.is_empty() {
            continue;
        }
        let event = Arc::new(logged.event);
        let open = ids
            .into_iter()
            .filter(|(id, _)| !done.contains(&(event.seq, *id)));
        matched.extend(open.map(|(id, fate)| Match {
            event: Arc::clone(&event),
            subscription: id,
            fate,
        }));
    }
    Ok(matched)
}

#[cfg(test)]
mod tests;
