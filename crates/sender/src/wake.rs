//! Coalesces wake-ups of the consumer: a batch of outcomes costs one call of the waker.
//!
//! Both sides change one flag by read-modify-write. It is safe because of the order on each side: a sending thread
//! first puts its outcome into the channel and then calls [`Wake::announce`]; the consumer first calls [`Wake::rearm`]
//! and then empties the channel. The two changes of the flag are totally ordered. If the thread's comes second, it
//! finds the flag lowered and wakes. If it comes first, the consumer's change synchronises with it, and the emptying
//! that follows sees the outcome. A wake-up may be superfluous but is never lost.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells the consumer that outcomes are ready, e.g. by writing to an eventfd. Called on the sending threads.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// The flag and the waker behind it.
pub(crate) struct Wake {
    announced: AtomicBool,
    waker: Waker,
}

impl Wake {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            announced: AtomicBool::new(false),
            waker,
        }
    }

    /// Announces an outcome. Called by a sending thread after its outcome is in the channel.
    pub(crate) fn announce(&self) {
        if !self.announced.swap(true, Ordering::AcqRel) {
            (self.waker)();
        }
    }

    /// Lowers the flag. Called by the consumer before it empties the channel.
    pub(crate) fn rearm(&self) {
        self.announced.swap(false, Ordering::AcqRel);
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wake")
            .field("announced", &self.announced)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_batch_costs_one_wake_up() {
        let calls = Arc::new(AtomicUsize::new(0));
        let wake = Wake::new(Arc::new({
            let calls = Arc::clone(&calls);
            move || {
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }));
        for _ in 0..10 {
            wake.announce();
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        wake.rearm();
        wake.announce();
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn no_wake_up_is_lost_while_threads_race_with_the_consumer() {
        const THREADS: usize = 4;
        const EACH: usize = 20_000;
        let (wakes, woken) = mpsc::channel();
        let wake = Arc::new(Wake::new(Arc::new({
            let wakes = std::sync::Mutex::new(wakes);
            move || {
                let _ = wakes.lock().expect("no panic while waking").send(());
            }
        })));
        let (items, outcomes) = crossbeam_channel::unbounded();
        for _ in 0..THREADS {
            let (wake, items) = (Arc::clone(&wake), items.clone());
            std::thread::spawn(move || {
                for item in 0..EACH {
                    items.send(item).expect("the consumer is still there");
                    wake.announce();
                }
            });
        }
        let mut seen = 0;
        while seen < THREADS * EACH {
            // A lost wake-up shows here: the last items stay in the channel and nobody calls.
            woken
                .recv_timeout(Duration::from_secs(10))
                .expect("a wake-up while items are outstanding");
            wake.rearm();
            seen += outcomes.try_iter().count();
        }
    }
}
