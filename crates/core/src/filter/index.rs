//! Many filters, and those that an event may pass.
//!
//! Each filter is filed under one of its [needs](super::Need): an event whose value at that place meets none of the keys
//! cannot pass it. The index only proposes; the filter itself decides.

use std::collections::HashMap;

use super::compiled::Filter;
use super::keys::{Key, keys_of};
use super::need::Place;
use super::ranges::Ranges;
use super::rule::{text_of, values_at};
use super::scalar::{Constant, Scalar};
use super::view::View;
use crate::lengths::Lengths;

/// Filters, each with an index by which its owner knows it.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::filter::{Filter, FilterIndex, View};
///
/// let mut index = FilterIndex::default();
/// for (number, customer) in ["anna", "ben"].iter().enumerate() {
///     index.insert(number, &Filter::parse(&format!(r#"{{"exact": {{"subject": "{customer}"}}}}"#)).unwrap());
/// }
/// let event = Event { subject: Some("ben".into()), ..Event::new("1", "/shop", "order.paid", 0) };
/// let mut proposed = Vec::new();
/// index.propose(&View::new(&event, &Default::default()), &mut proposed);
/// assert_eq!(proposed, [1]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct FilterIndex {
    places: HashMap<Place, AtPlace>,
    /// Filters that no single value decides.
    anywhere: Vec<usize>,
    homes: HashMap<usize, Home>,
}

/// Where a filter is filed.
#[derive(Debug, Clone)]
struct Home {
    place: Place,
    keys: Box<[Key]>,
}

impl FilterIndex {
    pub fn is_empty(&self) -> bool {
        self.homes.is_empty() && self.anywhere.is_empty()
    }

    /// Adds a filter, under the need that the fewest others share.
    ///
    /// A filter that was just added stays where it is.
    pub fn insert(&mut self, index: usize, filter: &Filter) {
        if self.homes.contains_key(&index) || self.anywhere.last() == Some(&index) {
            return;
        }
        let homes = filter.rule().needs().into_iter().map(|need| Home {
            keys: need.tests.iter().flat_map(keys_of).collect(),
            place: need.place,
        });
        let Some(home) = homes.min_by_key(|home| self.cost(home)) else {
            self.anywhere.push(index);
            return;
        };
        let at = self.places.entry(home.place.clone()).or_default();
        for key in &home.keys {
            at.insert(key, index);
        }
        self.homes.insert(index, home);
    }

    /// Removes a filter.
    pub fn remove(&mut self, index: usize) {
        let Some(home) = self.homes.remove(&index) else {
            self.anywhere.retain(|other| *other != index);
            return;
        };
        let Some(at) = self.places.get_mut(&home.place) else {
            return;
        };
        for key in &home.keys {
            at.remove(key, index);
        }
        if at.is_empty() {
            self.places.remove(&home.place);
        }
    }

    /// Returns about how many filters an event with a value at this place has to be compared with.
    fn cost(&self, home: &Home) -> usize {
        let at = self.places.get(&home.place);
        let costs = home.keys.iter().map(|key| AtPlace::cost(at, key));
        costs.sum()
    }

    /// Adds the filters that the event may pass, some of them several times. If its data cannot be read, it may pass all
    /// that need it.
    pub fn propose(&self, view: &View<'_>, proposed: &mut Vec<usize>) {
        proposed.extend(&self.anywhere);
        for (place, at) in &self.places {
            match place {
                Place::Attribute(name) => {
                    if let Some(value) = view.attribute(name) {
                        value.any_scalar(&mut |scalar| at.propose(scalar, proposed));
                    }
                }
                Place::AttributeText(name) => {
                    let value = view.attribute(name);
                    if let Some(text) = value.as_ref().and_then(text_of) {
                        at.propose(Scalar::String(text), proposed);
                    }
                }
                Place::Data(path) => match values_at(path, view) {
                    Err(_) => at.propose_all(proposed),
                    Ok(values) => {
                        for value in values {
                            value.any_scalar(&mut |scalar| at.propose(scalar, proposed));
                        }
                    }
                },
            }
        }
    }
}

/// The filters that need a value at a place.
#[derive(Debug, Clone, Default)]
struct AtPlace {
    equal: HashMap<Constant, Vec<usize>>,
    /// Prefixes, looked up once for each length that occurs.
    prefixes: HashMap<Box<str>, Vec<usize>>,
    lengths: Lengths,
    ranges: Ranges,
    any: Vec<usize>,
}

impl AtPlace {
    fn insert(&mut self, key: &Key, index: usize) {
        match key {
            Key::Equal(constant) => self.equal.entry(constant.clone()).or_default().push(index),
            Key::Prefix(prefix) => {
                self.lengths.insert(prefix.len());
                self.prefixes.entry(prefix.clone()).or_default().push(index);
            }
            Key::Range(range) => self.ranges.insert(*range, index),
            Key::Any => self.any.push(index),
        }
    }

    fn remove(&mut self, key: &Key, index: usize) {
        match key {
            Key::Equal(constant) => remove(&mut self.equal, constant, index),
            Key::Prefix(prefix) => {
                self.lengths.remove(prefix.len());
                remove(&mut self.prefixes, prefix, index);
            }
            Key::Range(range) => self.ranges.remove(*range, index),
            Key::Any => self.any.retain(|other| *other != index),
        }
    }

    fn is_empty(&self) -> bool {
        self.equal.is_empty()
            && self.prefixes.is_empty()
            && self.ranges.is_empty()
            && self.any.is_empty()
    }

    /// Returns about how many filters a value that meets the key has to be compared with, if it is filed there.
    fn cost(at: Option<&AtPlace>, key: &Key) -> usize {
        let others = |count: fn(&AtPlace, &Key) -> usize| at.map_or(0, |at| count(at, key));
        match key {
            Key::Equal(_) => {
                1 + others(|at, key| match key {
                    Key::Equal(constant) => at.equal.get(constant).map_or(0, Vec::len),
                    _ => 0,
                })
            }
            Key::Prefix(_) => {
                8 + others(|at, key| match key {
                    Key::Prefix(prefix) => at.prefixes.get(prefix).map_or(0, Vec::len),
                    _ => 0,
                })
            }
            Key::Range((low, high)) if low.is_finite() && high.is_finite() => {
                16 + others(|at, _| at.ranges.len() / 16)
            }
            Key::Range(_) => 32 + others(|at, _| at.ranges.len() / 2),
            Key::Any => 64 + others(|at, _| at.any.len()),
        }
    }

    /// Adds the filters whose keys the value meets. Returns false: other values may meet others.
    fn propose(&self, scalar: Scalar<'_>, proposed: &mut Vec<usize>) -> bool {
        proposed.extend(&self.any);
        if !self.equal.is_empty() {
            proposed.extend(
                self.equal
                    .get(&Constant::from(scalar))
                    .into_iter()
                    .flatten(),
            );
        }
        match scalar {
            Scalar::String(text) => {
                let prefixes = self.lengths.up_to(text.len());
                let prefixes = prefixes.filter_map(|length| text.get(..length));
                proposed.extend(
                    prefixes
                        .filter_map(|prefix| self.prefixes.get(prefix))
                        .flatten(),
                );
            }
            Scalar::Number(number) if !self.ranges.is_empty() => {
                self.ranges.propose(number.about(), proposed);
            }
            _ => {}
        }
        false
    }

    fn propose_all(&self, proposed: &mut Vec<usize>) {
        let filed = self.equal.values().chain(self.prefixes.values());
        proposed.extend(filed.flatten());
        proposed.extend(&self.any);
        self.ranges
            .propose((f64::NEG_INFINITY, f64::INFINITY), proposed);
    }
}

fn remove<K: Eq + std::hash::Hash>(filed: &mut HashMap<K, Vec<usize>>, key: &K, index: usize) {
    if let Some(indexes) = filed.get_mut(key) {
        indexes.retain(|other| *other != index);
        if indexes.is_empty() {
            filed.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn a_filter_that_is_added_twice_is_gone_when_it_is_removed() {
        let mut index = FilterIndex::default();
        let filter = Filter::parse(r#"{"data": {"a": {"between": [1, 9]}}}"#).unwrap();
        let other = Filter::parse(r#"{"data": {"a": {"between": [50, 90]}}}"#).unwrap();
        index.insert(2, &other);
        index.insert(1, &filter);
        index.insert(1, &filter);
        index.remove(1);
        let event = Event {
            data: Some(r#"{"a": 5}"#.into()),
            ..Event::new("1", "/shop", "order.paid", 0)
        };
        let mut proposed = Vec::new();
        index.propose(&View::new(&event, filter.paths()), &mut proposed);
        assert!(proposed.is_empty(), "{proposed:?}");
    }
}
