//! Names to addresses: a fixed number of look-up threads, bounded queues, and a cache.
//!
//! `getaddrinfo` can neither be cancelled nor given a deadline, so it runs on its own threads: an asker gives up at its
//! deadline while the look-up continues and fills the cache for the next asker. `shares` decides which name gets a
//! thread next, so that hanging names use only their share. `resolver`, not this module, judges addresses, on every
//! answer, cached or not.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::shares::{Share, Shares};

/// Looks a host name up, e.g. by `getaddrinfo`. Called on the look-up threads; may block for any time.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// A name that had addresses counts as answering for this long after they expired.
const PROVEN: Duration = Duration::from_secs(10 * 60);
/// A failure is cached for at most this long: enough to shield the name server, too short to delay a recovery.
const NEGATIVE_TTL: Duration = Duration::from_secs(2);
/// Names in the cache. When it is full, the share with the most names gives up the one that expires first.
const MAX_NAMES: usize = 1024;

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The name server says that the name has none.
    NoSuchHost,
    /// The look-up itself failed, with the system's words.
    Failed(Arc<str>),
    /// The asker's deadline passed. The look-up goes on.
    TimedOut,
    /// More names are waiting than the queue holds.
    Busy,
}

/// The answer to one look-up: at least one address, or why there is none.
pub(crate) type Answer = Result<Arc<[IpAddr]>, LookupError>;

/// The cache, and the names that wait for a look-up thread. The threads end when it is dropped.
pub(crate) struct Dns {
    table: Arc<Table>,
}

impl Dns {
    /// Spawns all threads at once. They block on `lookup`; send threads never do.
    pub(crate) fn start(
        threads: usize,
        stack_size: usize,
        ttl: Duration,
        lookup: Lookup,
    ) -> io::Result<Self> {
        let state = State {
            names: HashMap::new(),
            shares: Shares::new(threads),
            is_closed: false,
        };
        let table = Arc::new(Table {
            ttl,
            state: Mutex::new(state),
            answered: Condvar::new(),
            wanted: Condvar::new(),
        });
        for number in 0..threads.max(1) {
            let (table, lookup) = (Arc::clone(&table), Arc::clone(&lookup));
            thread::Builder::new()
                .name(format!("herald-dns-{number}"))
                .stack_size(stack_size)
                .spawn(move || table.answer_until_closed(&lookup))?;
        }
        Ok(Self { table })
    }

    /// Returns the addresses of `name`, from the cache or from a look-up that many askers share, charged to `share`.
    pub(crate) fn addresses(
        &self,
        share: impl FnOnce() -> Share,
        name: &str,
        deadline: Instant,
    ) -> Answer {
        // Almost all names are in the cache, and need no share.
        let share = LazyCell::new(share);
        let mut state = self.table.lock();
        loop {
            let now = Instant::now();
            let (answer, is_wanted) = match state.names.get(name) {
                Some(entry) => (entry.answer_at(now), entry.wants_look_up(now)),
                None => (None, true),
            };
            let is_sought = !is_wanted
                || state.shares.is_sought_for(&share, name)
                || self.table.begin_look_up(&mut state, &share, name, now);
            if let Some(answer) = answer {
                return answer;
            }
            if !is_sought {
                return Err(LookupError::Busy);
            }
            if now >= deadline {
                return Err(LookupError::TimedOut);
            }
            state = self
                .table
                .answered
                .wait_timeout(state, deadline - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.table.lock().is_closed = true;
        self.table.wanted.notify_all();
    }
}

/// Looks a name up as the system does.
pub(crate) fn system_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in (name, 0).to_socket_addrs()? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

struct Table {
    ttl: Duration,
    state: Mutex<State>,
    /// A look-up has ended.
    answered: Condvar,
    /// A name waits for a thread, or the threads are to end.
    wanted: Condvar,
}

struct State {
    names: HashMap<Arc<str>, Entry>,
    shares: Shares,
    is_closed: bool,
}

struct Entry {
    answer: Answer,
    expires_at: Instant,
    refresh_at: Instant,
    /// The share that first asked for it.
    share: Share,
}

impl Entry {
    fn answer_at(&self, now: Instant) -> Option<Answer> {
        (now < self.expires_at).then(|| self.answer.clone())
    }

    fn wants_look_up(&self, now: Instant) -> bool {
        now >= self.refresh_at
    }

    /// Whether it had addresses recently.
    fn is_proven(&self, now: Instant) -> bool {
        self.answer.is_ok() && now < self.expires_at + PROVEN
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_look_up(&self, state: &mut State, share: &Share, name: &str, now: Instant) -> bool {
        let is_proven = state
            .names
            .get(name)
            .is_some_and(|entry| entry.is_proven(now));
        let is_queued = state.shares.wait(share, &name.into(), !is_proven);
        if is_queued {
            self.wanted.notify_one();
        }
        is_queued
    }

    fn answer_until_closed(&self, lookup: &Lookup) {
        let mut state = self.lock();
        while !state.is_closed {
            let Some(begun) = state.shares.begin() else {
                state = self
                    .wanted
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if state.shares.has_waiting() {
                // More than one may now be free to begin.
                self.wanted.notify_one();
            }
            drop(state);
            let answer = catch_unwind(AssertUnwindSafe(|| lookup(&begun.name))).map_or_else(
                |_| Err(LookupError::Failed("the look-up panicked".into())),
                to_answer,
            );
            state = self.lock();
            // Names of its share may be waiting: this thread looks again.
            state.shares.end(&begun);
            self.keep(&mut state, &begun.name, &begun.share, answer);
            self.answered.notify_all();
        }
    }

    fn keep(&self, state: &mut State, name: &Arc<str>, share: &Share, answer: Answer) {
        let now = Instant::now();
        let failure_ttl = self.ttl.min(NEGATIVE_TTL);
        if let Some(entry) = state.names.get_mut(name)
            && answer.is_err()
            && matches!(entry.answer_at(now), Some(Ok(_)))
        {
            // A failed refresh does not remove a good answer before its time.
            entry.refresh_at = now + failure_ttl;
            return;
        }
        let (ttl, refresh_after) = match answer {
            // Renewed in the background before it expires, so that a busy name never waits.
            Ok(_) => (self.ttl, self.ttl * 2 / 3),
            Err(_) => (failure_ttl, failure_ttl),
        };
        let share = match state.names.get(name) {
            Some(entry) => entry.share.clone(),
            None => {
                make_room(&mut state.names);
                share.clone()
            }
        };
        let entry = Entry {
            answer,
            expires_at: now + ttl,
            refresh_at: now + refresh_after,
            share,
        };
        state.names.insert(Arc::clone(name), entry);
    }
}

fn to_answer(looked_up: io::Result<Vec<IpAddr>>) -> Answer {
    match looked_up {
        Ok(addresses) if addresses.is_empty() => Err(LookupError::NoSuchHost),
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => {
            // The standard library shows getaddrinfo's code only in these words (glibc, musl, macOS).
            let words = error.to_string();
            let unknown = ["not known", "No address associated", "does not resolve"];
            if unknown.iter().any(|part| words.contains(part)) {
                Err(LookupError::NoSuchHost)
            } else {
                let reason = words.rsplit(": ").next().unwrap_or(&words);
                Err(LookupError::Failed(reason.into()))
            }
        }
    }
}

fn make_room(names: &mut HashMap<Arc<str>, Entry>) {
    if names.len() < MAX_NAMES {
        return;
    }
    let mut counts: HashMap<&Share, usize> = HashMap::new();
    for entry in names.values() {
        *counts.entry(&entry.share).or_default() += 1;
    }
    let largest = counts.into_iter().max_by_key(|(_, count)| *count);
    let first_to_expire = names
        .iter()
        .filter(|(_, entry)| largest.is_none_or(|(share, _)| entry.share == *share))
        .min_by_key(|(_, entry)| entry.expires_at)
        .map(|(name, _)| Arc::clone(name));
    if let Some(name) = first_to_expire {
        names.remove(&name);
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dns")
            .field("names", &self.table.lock().names.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::MAX_WAITING_PER_SHARE;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const STACK: usize = 256 * 1024;
    const TTL: Duration = Duration::from_secs(30);

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn anybody() -> Share {
        Share::Tenant("anybody".into())
    }

    /// A look-up that counts its calls.
    fn counted(
        calls: &Arc<AtomicUsize>,
        answer: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Lookup {
        let calls = Arc::clone(calls);
        Arc::new(move |name| {
            calls.fetch_add(1, Ordering::SeqCst);
            answer(name)
        })
    }

    #[test]
    fn many_askers_of_one_name_share_one_look_up() {
        let calls = Arc::new(AtomicUsize::new(0));
        let lookup = counted(&calls, |_| {
            thread::sleep(Duration::from_millis(50));
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        });
        let dns = Dns::start(4, STACK, TTL, lookup).expect("threads start");
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert!(dns.addresses(anybody, "a.example", soon()).is_ok()));
            }
        });
        assert!(dns.addresses(anybody, "a.example", soon()).is_ok());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_asker_gives_up_at_its_deadline_and_the_answer_serves_the_next() {
        let lookup: Lookup = Arc::new(|_| {
            thread::sleep(Duration::from_millis(300));
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        });
        let dns = Dns::start(1, STACK, TTL, lookup).expect("threads start");
        let started = Instant::now();
        let answer = dns.addresses(anybody, "slow.example", started + Duration::from_millis(50));
        assert_eq!(answer, Err(LookupError::TimedOut));
        assert!(started.elapsed() < Duration::from_millis(250));
        assert!(dns.addresses(anybody, "slow.example", soon()).is_ok());
    }

    #[test]
    fn a_failure_is_kept_for_a_moment() {
        let calls = Arc::new(AtomicUsize::new(0));
        let lookup = counted(&calls, |_| {
            Err(io::Error::other(
                "failed to lookup address information: Name or service not known",
            ))
        });
        let dns = Dns::start(1, STACK, TTL, lookup).expect("threads start");
        for _ in 0..3 {
            let answer = dns.addresses(anybody, "none.example", soon());
            assert_eq!(answer, Err(LookupError::NoSuchHost));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_panicking_look_up_is_a_failure_and_the_thread_lives_on() {
        let lookup: Lookup = Arc::new(|name| {
            assert!(name != "bad.example", "this look-up is broken");
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        });
        let dns = Dns::start(1, STACK, TTL, lookup).expect("threads start");
        let answer = dns.addresses(anybody, "bad.example", soon());
        assert!(matches!(answer, Err(LookupError::Failed(_))));
        assert!(dns.addresses(anybody, "good.example", soon()).is_ok());
    }

    #[test]
    fn the_cache_and_the_queue_are_bounded() {
        let lookup: Lookup = Arc::new(|_| Ok(vec![IpAddr::from([192, 0, 2, 1])]));
        let dns = Dns::start(2, STACK, TTL, lookup).expect("threads start");
        for number in 0..MAX_NAMES + 100 {
            let answer = dns.addresses(anybody, &format!("{number}.example"), soon());
            assert!(answer.is_ok());
        }
        assert!(dns.table.lock().names.len() <= MAX_NAMES);

        let dns = Dns::start(1, STACK, TTL, hanging_but("none")).expect("threads start");
        let answers = (0..MAX_WAITING_PER_SHARE + 10)
            .map(|number| dns.addresses(anybody, &format!("{number}.example"), Instant::now()));
        let busy = answers
            .filter(|answer| *answer == Err(LookupError::Busy))
            .count();
        assert!(busy >= 9, "only {busy} askers were turned away");
    }

    /// A look-up that answers only names that contain `good`.
    fn hanging_but(good: &'static str) -> Lookup {
        Arc::new(move |name| {
            while !name.contains(good) {
                thread::park();
            }
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        })
    }

    #[test]
    fn hanging_names_do_not_delay_other_shares() {
        let dns = Dns::start(8, STACK, TTL, hanging_but("good")).expect("threads start");
        let tenant = |name: &str| Share::Tenant(name.into());
        for number in 0..20 {
            let name = format!("{number}.bad.example");
            let answer = dns.addresses(|| tenant("bad"), &name, Instant::now());
            assert_eq!(answer, Err(LookupError::TimedOut));
        }
        assert!(
            dns.addresses(|| tenant("good"), "good.example", soon())
                .is_ok()
        );
        // Without a tenant, each domain has its own share.
        let domain = |name| Share::of(None, name);
        for name in ["a.bad.example", "b.bad.example", "a.worse.example"] {
            let _ = dns.addresses(|| domain(name), name, Instant::now());
        }
        let name = "good.elsewhere.test";
        assert!(dns.addresses(|| domain(name), name, soon()).is_ok());
        // Within a tenant, names that hang delay the others.
        let kept = dns.addresses(|| tenant("bad"), "good.too.example", Instant::now());
        assert_eq!(kept, Err(LookupError::TimedOut));
    }

    #[test]
    fn names_that_answered_are_renewed_although_all_others_hang() {
        let dns = Dns::start(4, STACK, Duration::from_millis(1), hanging_but("good"))
            .expect("threads start");
        let tenant = |number: usize| Share::Tenant(number.to_string().into());
        assert!(dns.addresses(|| tenant(0), "good.example", soon()).is_ok());
        for number in 1..20 {
            let name = format!("{number}.example");
            let _ = dns.addresses(|| tenant(number), &name, Instant::now());
        }
        thread::sleep(Duration::from_millis(10));
        assert!(dns.addresses(|| tenant(0), "good.example", soon()).is_ok());
    }

    #[test]
    fn a_share_that_fills_the_cache_makes_room_from_its_own() {
        let lookup: Lookup = Arc::new(|_| Ok(vec![IpAddr::from([192, 0, 2, 1])]));
        let dns = Dns::start(8, STACK, TTL, lookup).expect("threads start");
        let good = Share::Tenant("good".into());
        assert!(
            dns.addresses(|| good.clone(), "good.example", soon())
                .is_ok()
        );
        for number in 0..MAX_NAMES + 100 {
            let answer = dns.addresses(anybody, &format!("{number}.example"), soon());
            assert!(answer.is_ok());
        }
        assert!(dns.table.lock().names.contains_key("good.example"));
    }
}
