//! What subscriptions wanted before they were changed. A window goes by what it shows: however often it is read again,
//! after a crash or beside a change, its events match the same subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use herald_core::event::Event;
use herald_core::subscription::matcher::{Found, Matcher};
use herald_core::subscription::wanted::Wanted;

use crate::log::Window;

/// What a subscription wanted until this transaction changed it.
#[derive(Debug, Clone)]
pub struct Former {
    pub until_xid: u64,
    pub wanted: Arc<Wanted>,
}

impl Former {
    /// Returns what the subscription wanted for this window, given its former states, oldest first. `None` if the window
    /// shows all changes.
    fn of<'a>(formers: &'a [Former], window: &Window) -> Option<&'a Arc<Wanted>> {
        let former = formers
            .iter()
            .find(|former| !window.to.shows(former.until_xid));
        former.map(|former| &former.wanted)
    }
}

/// The subscriptions whose change a window does not show, by their places, as they were before.
#[derive(Debug, Default)]
pub struct Unchanged {
    wanted: BTreeMap<usize, Arc<Wanted>>,
    /// Whether any of them left some events to others.
    pub leaves_some: bool,
    matcher: Matcher,
    found: Found,
}

impl Unchanged {
    /// Collects them from places and former states.
    pub fn of<'a>(changed: impl Iterator<Item = (usize, &'a [Former])>, window: &Window) -> Self {
        let mut unchanged = Self::default();
        for (place, formers) in changed {
            if let Some(wanted) = Former::of(formers, window) {
                unchanged.wanted.insert(place, Arc::clone(wanted));
                unchanged.leaves_some |= wanted.leaves_some();
                unchanged.matcher.insert(place, wanted);
            }
        }
        unchanged
    }

    /// Returns what the subscription at a place wanted, if the window does not show its change.
    pub fn wanted(&self, place: usize) -> Option<&Wanted> {
        self.wanted.get(&place).map(Arc::as_ref)
    }

    /// Corrects what was found by the subscriptions of now.
    pub fn correct(&mut self, event: &Event, found: &mut Found) {
        if self.wanted.is_empty() {
            return;
        }
        self.matcher.find(event, &mut self.found);
        for (now, then) in [
            (&mut found.matching, &self.found.matching),
            (&mut found.undecided, &self.found.undecided),
        ] {
            now.retain(|place| !self.wanted.contains_key(place));
            now.extend(then);
            now.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Logged;
    use crate::subscriptions::{Loaded, Subscriptions};
    use crate::testing::{loaded, logged};
    use herald_core::snapshot::Snapshot;

    fn wanted(glob: &str) -> Arc<Wanted> {
        Arc::new(Wanted::new(&[glob.into()], None, None))
    }

    fn snapshot(xmax: u64) -> Snapshot {
        format!("{xmax}:{xmax}:").parse().unwrap()
    }

    /// Returns two subscriptions: one that wanted `a` until 10 and `b` until 20, and wants `*` now, and another that always
    /// wanted everything.
    fn subscriptions() -> Subscriptions {
        let former = [(10, "a"), (20, "b")].map(|(until_xid, glob)| Former {
            until_xid,
            wanted: wanted(glob),
        });
        let changed = Loaded {
            former: former.to_vec(),
            ..loaded(1)
        };
        let mut subscriptions = Subscriptions::unloaded();
        subscriptions.put_all(&[1, 2], vec![changed, loaded(2)]);
        subscriptions
    }

    /// Returns the subscriptions that get an event of this type from a window up to this snapshot.
    fn matching(subscriptions: &Subscriptions, event_type: &str, to: u64) -> Vec<i64> {
        let window = Window::recovered(1, (snapshot(1), snapshot(to)), (0, 100), 0);
        let mut logged: Logged = logged(1);
        logged.event.r#type = event_type.into();
        let (mut unchanged, mut found) = (subscriptions.unchanged_in(&window), Found::default());
        let matching = subscriptions.matching(&logged, &window, &mut unchanged, &mut found);
        matching.map(|(to, _)| to.config.id).collect()
    }

    #[test]
    fn a_window_goes_by_what_it_shows_of_a_subscription() {
        let subscriptions = subscriptions();
        for (to, event_type, expected) in [
            (9, "a", vec![1, 2]),
            (9, "b", vec![2]),
            (15, "a", vec![2]),
            (15, "b", vec![1, 2]),
            (25, "a", vec![1, 2]),
            (25, "c", vec![1, 2]),
        ] {
            let found = matching(&subscriptions, event_type, to);
            assert_eq!(found, expected, "{event_type} in a window up to {to}");
        }
    }

    #[test]
    fn what_no_window_asks_for_is_forgotten() {
        let mut subscriptions = subscriptions();
        subscriptions.forget_former(&snapshot(15));
        assert_eq!(matching(&subscriptions, "a", 15), [2]);
        subscriptions.forget_former(&snapshot(25));
        assert_eq!(matching(&subscriptions, "a", 15), [1, 2]);
    }
}
