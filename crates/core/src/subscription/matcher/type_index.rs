//! Globs of subscriptions, each filed under the key that proposes it for the fewest types.

use std::collections::HashMap;

use crate::filter::{Filter, FilterIndex, View};
use crate::lengths::Lengths;
use crate::subscription::globs::Glob;

/// Subscriptions by the types that they want.
#[derive(Debug, Clone, Default)]
pub struct TypeIndex {
    exact: HashMap<String, Bucket>,
    heads: AffixIndex,
    tails: AffixIndex,
    /// Globs such as `*` and `*paid*`, which any type may match.
    anywhere: Bucket,
}

/// Where a glob is filed.
enum Key<'g> {
    Exact(&'g str),
    Head(&'g str),
    Tail(&'g str),
    Anywhere,
}

/// Subscriptions whose globs have the same key. Those with a filter are also proposed by what it needs.
#[derive(Debug, Clone, Default)]
struct Bucket {
    plain: Vec<Entry>,
    filtered: FilterIndex,
}

#[derive(Debug, Clone)]
struct Entry {
    glob: Glob,
    index: usize,
}

/// The subscriptions of an index that an event may be for.
#[derive(Debug, Default)]
pub struct Proposed {
    /// Those without a filter, whose types match.
    pub plain: Vec<usize>,
    /// Those with a filter, whose types and filters are still to be asked; perhaps several times.
    pub filtered: Vec<usize>,
}

impl TypeIndex {
    pub fn insert(&mut self, glob: &Glob, filter: Option<&Filter>, index: usize) {
        let bucket = match key_of(glob) {
            Key::Exact(text) => self.exact.entry(text.into()).or_default(),
            Key::Head(head) => self.heads.bucket(head),
            Key::Tail(tail) => self.tails.bucket(tail),
            Key::Anywhere => &mut self.anywhere,
        };
        match filter {
            Some(filter) => bucket.filtered.insert(index, filter),
            None => bucket.plain.push(Entry {
                glob: glob.clone(),
                index,
            }),
        }
    }

    pub fn remove(&mut self, glob: &Glob, index: usize) {
        match key_of(glob) {
            Key::Exact(text) => {
                if let Some(bucket) = self.exact.get_mut(text) {
                    bucket.remove(index);
                    if bucket.is_empty() {
                        self.exact.remove(text);
                    }
                }
            }
            Key::Head(head) => self.heads.remove(head, index),
            Key::Tail(tail) => self.tails.remove(tail, index),
            Key::Anywhere => self.anywhere.remove(index),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
            && self.heads.by_affix.is_empty()
            && self.tails.by_affix.is_empty()
            && self.anywhere.is_empty()
    }

    /// Adds the subscriptions that an event of this type may be for.
    pub fn propose(&self, event_type: &str, view: &View<'_>, proposed: &mut Proposed) {
        if let Some(bucket) = self.exact.get(event_type) {
            proposed
                .plain
                .extend(bucket.plain.iter().map(|entry| entry.index));
            bucket.filtered.propose(view, &mut proposed.filtered);
        }
        let bytes = event_type.as_bytes();
        let heads = self.heads.find(bytes.len(), |length| &bytes[..length]);
        let tails = self
            .tails
            .find(bytes.len(), |length| &bytes[bytes.len() - length..]);
        for bucket in heads.chain(tails).chain([&self.anywhere]) {
            let matching = bucket
                .plain
                .iter()
                .filter(|entry| entry.glob.matches(event_type));
            proposed.plain.extend(matching.map(|entry| entry.index));
            bucket.filtered.propose(view, &mut proposed.filtered);
        }
    }
}

fn key_of(glob: &Glob) -> Key<'_> {
    let head = glob.head();
    match glob.tail() {
        None => Key::Exact(head),
        Some(tail) if tail.len() > head.len() => Key::Tail(tail),
        Some(_) if head.is_empty() => Key::Anywhere,
        Some(_) => Key::Head(head),
    }
}

impl Bucket {
    fn remove(&mut self, index: usize) {
        self.plain.retain(|entry| entry.index != index);
        self.filtered.remove(index);
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.filtered.is_empty()
    }
}

/// Globs by the beginning (or end) of their types, looked up once for each length that occurs. Types are short, so
/// lengths are few.
#[derive(Debug, Clone, Default)]
struct AffixIndex {
    lengths: Lengths,
    by_affix: HashMap<Vec<u8>, Bucket>,
}

impl AffixIndex {
    fn bucket(&mut self, affix: &str) -> &mut Bucket {
        self.by_affix.entry(affix.into()).or_insert_with(|| {
            self.lengths.insert(affix.len());
            Bucket::default()
        })
    }

    fn remove(&mut self, affix: &str, index: usize) {
        let Some(bucket) = self.by_affix.get_mut(affix.as_bytes()) else {
            return;
        };
        bucket.remove(index);
        if bucket.is_empty() {
            self.by_affix.remove(affix.as_bytes());
            self.lengths.remove(affix.len());
        }
    }

    fn find<'a>(
        &'a self,
        longest: usize,
        affix_of: impl Fn(usize) -> &'a [u8],
    ) -> impl Iterator<Item = &'a Bucket> {
        let lengths = self.lengths.up_to(longest);
        lengths.filter_map(move |length| self.by_affix.get(affix_of(length)))
    }
}
