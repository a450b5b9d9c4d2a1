//! Names to addresses: a fixed number of look-up threads, a bounded queue, and a cache.
//!
//! `getaddrinfo` can neither be cancelled nor given a deadline, so it runs on threads of its own:
//! whoever asks gives up at its deadline while the look-up goes on and fills the cache for the next one.
//! Nothing here judges addresses; that is the duty of `resolver`, on every answer, cached or not.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

/// Looks a host name up, e.g. by `getaddrinfo`. Called on the look-up threads; may block for as long as it likes.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// A failure serves this long at most: enough to shield the name server, short enough not to delay a recovery.
const NEGATIVE_TTL: Duration = Duration::from_secs(2);
/// Names in the cache; beyond it, the one that expires first makes room.
const MAX_NAMES: usize = 1024;
/// Names that wait for a look-up thread; below `MAX_NAMES`, so that there is always one to make room.
const MAX_WAITING: usize = 256;

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

/// The cache and the queue to the look-up threads. The threads end when it is dropped.
pub(crate) struct Dns {
    cache: Arc<Cache>,
    queue: Sender<Arc<str>>,
}

impl Dns {
    /// Spawns all threads that there will ever be. They block on `lookup`, never on a send thread.
    pub(crate) fn start(
        threads: usize,
        stack_size: usize,
        ttl: Duration,
        lookup: Lookup,
    ) -> io::Result<Self> {
        let (queue, names) = bounded(MAX_WAITING);
        let cache = Arc::new(Cache {
            ttl,
            names: Mutex::default(),
            changed: Condvar::new(),
        });
        for number in 0..threads.max(1) {
            let (cache, names, lookup) = (Arc::clone(&cache), names.clone(), Arc::clone(&lookup));
            thread::Builder::new()
                .name(format!("herald-dns-{number}"))
                .stack_size(stack_size)
                .spawn(move || answer_until_closed(&names, &cache, &lookup))?;
        }
        Ok(Self { cache, queue })
    }

    /// The addresses of `name`, from the cache or from a look-up that many askers share.
    pub(crate) fn addresses(&self, name: &str, deadline: Instant) -> Answer {
        let mut names = self.cache.lock();
        loop {
            let now = Instant::now();
            let (answer, is_wanted) = match names.get(name) {
                Some(entry) => (entry.answer_at(now), entry.wants_look_up(now)),
                None => (None, true),
            };
            let is_sought = !is_wanted || self.begin_look_up(&mut names, name);
            if let Some(answer) = answer {
                return answer;
            }
            if !is_sought {
                return Err(LookupError::Busy);
            }
            if now >= deadline {
                return Err(LookupError::TimedOut);
            }
            names = self
                .cache
                .changed
                .wait_timeout(names, deadline - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn begin_look_up(&self, names: &mut HashMap<Arc<str>, Entry>, name: &str) -> bool {
        let name: Arc<str> = name.into();
        let is_queued = self.queue.try_send(Arc::clone(&name)).is_ok();
        if is_queued {
            if !names.contains_key(&name) {
                make_room(names);
            }
            names.entry(name).or_default().is_sought = true;
        }
        is_queued
    }
}

/// The system's look-up.
pub(crate) fn system_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in (name, 0).to_socket_addrs()? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

struct Cache {
    ttl: Duration,
    names: Mutex<HashMap<Arc<str>, Entry>>,
    changed: Condvar,
}

#[derive(Default)]
struct Entry {
    answer: Option<Answer>,
    expires_at: Option<Instant>,
    refresh_at: Option<Instant>,
    /// A look-up is queued or running: nobody else starts one.
    is_sought: bool,
}

impl Entry {
    fn answer_at(&self, now: Instant) -> Option<Answer> {
        let is_fresh = self.expires_at.is_some_and(|at| now < at);
        self.answer.clone().filter(|_| is_fresh)
    }

    fn wants_look_up(&self, now: Instant) -> bool {
        !self.is_sought && self.refresh_at.is_none_or(|at| now >= at)
    }
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, name: &Arc<str>, answer: Answer) {
        let now = Instant::now();
        let failure_ttl = self.ttl.min(NEGATIVE_TTL);
        let mut names = self.lock();
        let entry = names.entry(Arc::clone(name)).or_default();
        entry.is_sought = false;
        if answer.is_err() && matches!(entry.answer_at(now), Some(Ok(_))) {
            // A failed refresh does not take a good answer away before its time.
            entry.refresh_at = Some(now + failure_ttl);
        } else {
            let (ttl, refresh_after) = match answer {
                // Renewed in the background before its time is over, so that a busy name never waits.
                Ok(_) => (self.ttl, self.ttl * 2 / 3),
                Err(_) => (failure_ttl, failure_ttl),
            };
            entry.expires_at = Some(now + ttl);
            entry.refresh_at = Some(now + refresh_after);
            entry.answer = Some(answer);
        }
        drop(names);
        self.changed.notify_all();
    }
}

fn answer_until_closed(names: &Receiver<Arc<str>>, cache: &Cache, lookup: &Lookup) {
    for name in names {
        let answer = catch_unwind(AssertUnwindSafe(|| lookup(&name))).map_or_else(
            |_| Err(LookupError::Failed("the look-up panicked".into())),
            to_answer,
        );
        cache.keep(&name, answer);
    }
}

fn to_answer(looked_up: io::Result<Vec<IpAddr>>) -> Answer {
    match looked_up {
        Ok(addresses) if addresses.is_empty() => Err(LookupError::NoSuchHost),
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => {
            // The standard library keeps getaddrinfo's code only in these words (glibc, musl, macOS).
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
    let first_to_expire = names
        .iter()
        .filter(|(_, entry)| !entry.is_sought)
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
            .field("names", &self.cache.lock().len())
            .field("waiting", &self.queue.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const STACK: usize = 256 * 1024;
    const TTL: Duration = Duration::from_secs(30);

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
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
                scope.spawn(|| assert!(dns.addresses("a.example", soon()).is_ok()));
            }
        });
        assert!(dns.addresses("a.example", soon()).is_ok());
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
        let answer = dns.addresses("slow.example", started + Duration::from_millis(50));
        assert_eq!(answer, Err(LookupError::TimedOut));
        assert!(started.elapsed() < Duration::from_millis(250));
        assert!(dns.addresses("slow.example", soon()).is_ok());
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
            let answer = dns.addresses("none.example", soon());
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
        let answer = dns.addresses("bad.example", soon());
        assert!(matches!(answer, Err(LookupError::Failed(_))));
        assert!(dns.addresses("good.example", soon()).is_ok());
    }

    #[test]
    fn the_cache_and_the_queue_are_bounded() {
        let lookup: Lookup = Arc::new(|_| Ok(vec![IpAddr::from([192, 0, 2, 1])]));
        let dns = Dns::start(2, STACK, TTL, lookup).expect("threads start");
        for number in 0..MAX_NAMES + 100 {
            let answer = dns.addresses(&format!("{number}.example"), soon());
            assert!(answer.is_ok());
        }
        assert!(dns.cache.lock().len() <= MAX_NAMES);

        let (_held, hold) = bounded::<()>(0);
        let hanging: Lookup = Arc::new(move |_| {
            let _ = hold.recv();
            Ok(Vec::new())
        });
        let dns = Dns::start(1, STACK, TTL, hanging).expect("threads start");
        let answers = (0..MAX_WAITING + 10)
            .map(|number| dns.addresses(&format!("{number}.example"), Instant::now()));
        let busy = answers
            .filter(|answer| *answer == Err(LookupError::Busy))
            .count();
        assert!(busy >= 9, "only {busy} askers were turned away");
    }
}
