//! Decides which name is looked up next, so that hanging names take no more than their share of the look-up threads.
//!
//! `getaddrinfo` cannot be interrupted: a thread that has begun is lost until the system lets go of it. So names that
//! may hang must not take all threads. A [`Share`] (a tenant; without a tenant, a domain) has at most a few threads at
//! once, and its names queue behind each other, not in front of others'. Names that no look-up has answered lately
//! together have at most half of the threads, so that names in use are always renewed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// At most this many names wait for a thread.
pub(crate) const MAX_WAITING: usize = 256;
/// At most this many of them belong to one share.
pub(crate) const MAX_WAITING_PER_SHARE: usize = 64;
/// A share has at most one thread in this many, but always at least one.
const SHARES: usize = 8;

/// The payer of a look-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Share {
    Tenant(Arc<str>),
    /// The last two labels of the name.
    Domain(Arc<str>),
}

impl Share {
    pub(crate) fn of(tenant: Option<&Arc<str>>, name: &str) -> Self {
        match tenant {
            Some(tenant) => Self::Tenant(Arc::clone(tenant)),
            None => Self::Domain(domain_of(name).into()),
        }
    }
}

fn domain_of(name: &str) -> &str {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut dots = name.rmatch_indices('.');
    dots.nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

/// The waiting names, and the shares with running threads.
#[derive(Debug)]
pub(crate) struct Shares {
    threads: usize,
    waiting: HashMap<Share, VecDeque<Name>>,
    /// The shares with waiting names, each listed once, in turn.
    turns: VecDeque<Share>,
    count: usize,
    running: HashMap<Share, usize>,
    running_doubtful: usize,
    names: HashSet<Arc<str>>,
}

#[derive(Debug, Clone)]
struct Name {
    name: Arc<str>,
    is_doubtful: bool,
}

/// A look-up that a thread has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) name: Arc<str>,
    pub(crate) share: Share,
    is_doubtful: bool,
}

impl Shares {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            count: 0,
            running: HashMap::new(),
            running_doubtful: 0,
            names: HashSet::new(),
        }
    }

    /// Whether a thread is looking this name up.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether a thread is looking this name up, or this share is waiting for it.
    pub(crate) fn is_sought_for(&self, share: &Share, name: &str) -> bool {
        let waiting = self.waiting.get(share);
        self.is_running(name)
            || waiting.is_some_and(|names| names.iter().any(|queued| *queued.name == *name))
    }

    /// Queues a name behind those of its share. Returns false if too many names of the share, or of all shares, wait.
    pub(crate) fn wait(&mut self, share: &Share, name: &Arc<str>, is_doubtful: bool) -> bool {
        let waiting = self.waiting.get(share).map_or(0, VecDeque::len);
        if self.count >= MAX_WAITING || waiting >= MAX_WAITING_PER_SHARE {
            return false;
        }
        if waiting == 0 {
            self.turns.push_back(share.clone());
        }
        let name = Name {
            name: Arc::clone(name),
            is_doubtful,
        };
        let names = self.waiting.entry(share.clone()).or_default();
        names.push_back(name);
        self.count += 1;
        true
    }

    /// Returns the next name that may be looked up, taking shares in turn. The caller must [`end`](Self::end) it.
    pub(crate) fn begin(&mut self) -> Option<Begun> {
        for _ in 0..self.turns.len() {
            let share = self.turns.pop_front()?;
            let begun = self.take_of(&share);
            if self.waiting.contains_key(&share) {
                self.turns.push_back(share);
            }
            if begun.is_some() {
                return begun;
            }
        }
        None
    }

    /// Whether any name waits, free to begin or not.
    pub(crate) fn has_waiting(&self) -> bool {
        self.count > 0
    }

    /// Ends a look-up: its thread is free again.
    pub(crate) fn end(&mut self, begun: &Begun) {
        self.names.remove(&begun.name);
        self.running_doubtful -= usize::from(begun.is_doubtful);
        if let Some(running) = self.running.get_mut(&begun.share) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&begun.share);
            }
        }
    }

    fn take_of(&mut self, share: &Share) -> Option<Begun> {
        let most = (self.threads / SHARES).max(1);
        if self.running.get(share).copied().unwrap_or(0) >= most {
            return None;
        }
        let has_room_for_doubtful = self.running_doubtful < self.threads.div_ceil(2);
        let names = self.waiting.get_mut(share)?;
        // Another share may have begun with a name meanwhile: its answer serves all.
        let before = names.len();
        names.retain(|queued| !self.names.contains(&queued.name));
        let position = names
            .iter()
            .position(|queued| !queued.is_doubtful || has_room_for_doubtful);
        let taken = position.and_then(|position| names.remove(position));
        self.count -= before - names.len();
        if names.is_empty() {
            self.waiting.remove(share);
        }
        let Name { name, is_doubtful } = taken?;
        self.names.insert(Arc::clone(&name));
        self.running_doubtful += usize::from(is_doubtful);
        *self.running.entry(share.clone()).or_default() += 1;
        Some(Begun {
            name,
            share: share.clone(),
            is_doubtful,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Share {
        Share::Tenant(name.into())
    }

    fn wait(shares: &mut Shares, share: &Share, names: &[&str], is_doubtful: bool) {
        for name in names {
            assert!(shares.wait(share, &(*name).into(), is_doubtful));
        }
    }

    fn begun(shares: &mut Shares) -> Vec<String> {
        std::iter::from_fn(|| shares.begin())
            .map(|begun| begun.name.to_string())
            .collect()
    }

    #[test]
    fn a_share_is_a_tenant_or_a_domain() {
        let acme: Arc<str> = "acme".into();
        assert_eq!(Share::of(Some(&acme), "a.example.com"), tenant("acme"));
        for (name, domain) in [
            ("a.b.example.com", "example.com"),
            ("example.com.", "example.com"),
            ("example.com", "example.com"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(Share::of(None, name), Share::Domain(domain.into()));
        }
    }

    #[test]
    fn a_share_has_an_eighth_of_the_threads_and_others_pass_its_queue() {
        let mut shares = Shares::new(16);
        wait(&mut shares, &tenant("bad"), &["1", "2", "3", "4"], true);
        wait(&mut shares, &tenant("good"), &["good"], true);
        assert_eq!(begun(&mut shares), ["1", "good", "2"]);
        let ended = Begun {
            name: "1".into(),
            share: tenant("bad"),
            is_doubtful: true,
        };
        shares.end(&ended);
        assert_eq!(begun(&mut shares), ["3"]);
    }

    #[test]
    fn doubtful_names_have_half_of_the_threads() {
        let mut shares = Shares::new(4);
        for name in ["1", "2", "3"] {
            wait(&mut shares, &tenant(name), &[name], true);
        }
        wait(&mut shares, &tenant("proven"), &["proven"], false);
        assert_eq!(begun(&mut shares), ["1", "2", "proven"]);
    }

    #[test]
    fn a_proven_name_passes_the_doubtful_ones_of_its_share() {
        let mut shares = Shares::new(1);
        wait(&mut shares, &tenant("a"), &["1"], true);
        let first = shares.begin().expect("a name");
        wait(&mut shares, &tenant("b"), &["2"], true);
        wait(&mut shares, &tenant("b"), &["3"], false);
        assert_eq!(begun(&mut shares), ["3"]);
        shares.end(&first);
    }

    #[test]
    fn a_name_is_looked_up_once_and_never_waits_in_another_share() {
        let mut shares = Shares::new(8);
        wait(&mut shares, &tenant("bad"), &["1", "shared"], true);
        assert_eq!(begun(&mut shares), ["1"]);
        assert!(!shares.is_sought_for(&tenant("good"), "shared"));
        assert!(shares.is_sought_for(&tenant("bad"), "shared"));
        wait(&mut shares, &tenant("good"), &["shared"], true);
        assert_eq!(begun(&mut shares), ["shared"]);
        assert!(shares.is_sought_for(&tenant("other"), "shared"));
        let ended = Begun {
            name: "1".into(),
            share: tenant("bad"),
            is_doubtful: true,
        };
        shares.end(&ended);
        assert!(begun(&mut shares).is_empty() && shares.count == 0);
    }

    #[test]
    fn the_queues_are_bounded_for_each_and_for_all() {
        let mut shares = Shares::new(1);
        let mut wait = |share: &str, number: usize| {
            shares.wait(&tenant(share), &number.to_string().into(), true)
        };
        assert!((0..MAX_WAITING_PER_SHARE).all(|number| wait("bad", number)));
        assert!(!wait("bad", MAX_WAITING_PER_SHARE));
        let shares_to_fill = MAX_WAITING / MAX_WAITING_PER_SHARE;
        for other in 1..shares_to_fill {
            let other = other.to_string();
            assert!((0..MAX_WAITING_PER_SHARE).all(|number| wait(&other, number)));
        }
        assert!(!wait("good", 0));
    }
}
