//! Shared memory: which database has a worker, and how to wake it.
//!
//! Only atomics: a backend uses it while its transaction commits, when nothing may fail or wait.

use super::identity;
use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgAtomic, pg_shmem_init};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

/// The most databases of a cluster that can have a worker.
pub const DATABASES: usize = 256;

static REGISTRY: PgAtomic<Registry> = unsafe_registry();
static PRELOADED: AtomicBool = AtomicBool::new(false);

const fn unsafe_registry() -> PgAtomic<Registry> {
    // SAFETY: the name is ours alone.
    unsafe { PgAtomic::new(c"pg_herald registry") }
}

/// What all processes of the cluster share.
pub struct Registry {
    launcher_latch: AtomicU64,
    /// The launcher may not know a new database yet.
    is_database_new: AtomicBool,
    /// A process is making an entry: two at once could make two for one database.
    is_making: AtomicBool,
    entries: [Entry; DATABASES],
}

/// A database, with its worker and the demand for it.
#[derive(Default)]
pub struct Entry {
    /// The database and its demand in one word, so that no entry is released while a session asks: the oid, in the low
    /// half the number of changes of the demand, and in the lowest two bits the demand. 0: free.
    place: AtomicU64,
    pid: AtomicU32,
    latch: AtomicU64,
    woken: AtomicBool,
    called: AtomicBool,
    /// 1 if the last start found no free process slot, otherwise 0.
    failure: AtomicU32,
}

/// Whether a database should have a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// No, until somebody asks.
    Stopped,
    /// Yes; the launcher decides when.
    Wanted,
    /// Yes, at once: somebody has asked since the launcher last started it.
    Asked,
}

// SAFETY: only atomics, which are valid between processes; no pointer is followed except to a latch in shared memory,
// which is mapped at the same address everywhere (`set_latch`).
unsafe impl PGRXSharedMemory for Registry {}

impl Registry {
    /// Creates a registry without entries.
    pub fn new() -> Self {
        Self {
            launcher_latch: AtomicU64::new(0),
            is_database_new: AtomicBool::new(false),
            is_making: AtomicBool::new(false),
            entries: std::array::from_fn(|_| Entry::default()),
        }
    }
}

/// Requests the shared memory; called once, while the library is preloaded.
#[allow(unexpected_cfgs)]
pub fn request() {
    pg_shmem_init!(REGISTRY = Registry::new());
    PRELOADED.store(true, SeqCst);
}

/// Returns the shared registry, or `None` if the library was not preloaded.
pub fn registry() -> Option<&'static Registry> {
    PRELOADED.load(SeqCst).then(|| REGISTRY.get())
}

/// Returns the entry of this process's database, if any.
pub fn own_entry() -> Option<&'static Entry> {
    thread_local! {
        /// The entry of the last call: a commit should not take as long as a search through all entries.
        static LAST: Cell<Option<&'static Entry>> = const { Cell::new(None) };
    }
    let database = identity::database();
    let registry = registry()?;
    let last = LAST.get().filter(|entry| entry.database() == database);
    let entry = last.or_else(|| registry.find(database));
    LAST.set(entry);
    entry
}

impl Registry {
    /// Sets whether `database` should have a worker, and wakes one that should stop. Returns false if other databases
    /// take all entries.
    pub fn demand(&self, database: pg_sys::Oid, demand: Demand) -> bool {
        loop {
            match self.find(database) {
                // The entry may have been released between the search and the change.
                Some(entry) if !entry.demand(database, demand) => {}
                Some(entry) => {
                    set_latch(entry.latch.load(SeqCst));
                    return true;
                }
                None if !self.make(database, demand) => return false,
                None => {}
            }
        }
    }

    /// Asks for another worker of `database`, to replace one that ends by itself, unless the demand is `Stopped`.
    pub fn ask_for_successor(&self, database: pg_sys::Oid) {
        if let Some(entry) = self.find(database) {
            entry.change(database, |place| match has_demand(place, Demand::Stopped) {
                true => place,
                false => place_of(database, changes_of(place).wrapping_add(1), Demand::Asked),
            });
        }
    }

    /// Makes an entry for `database`, unless it has one. Returns false if other databases take all entries.
    fn make(&self, database: pg_sys::Oid, demand: Demand) -> bool {
        let place = place_of(database, 0, demand);
        let take = |entry: &Entry| {
            let taken = entry.place.compare_exchange(0, place, SeqCst, SeqCst);
            taken.is_ok()
        };
        self.with_spin_lock(|| self.find(database).is_some() || self.entries.iter().any(take))
    }

    /// Runs `act` in one process at a time: a spin lock, held for a look at all entries. No process stops while holding
    /// it, as nothing in there can fail or be interrupted, and a crash resets the shared memory.
    fn with_spin_lock<T>(&self, act: impl FnOnce() -> T) -> T {
        while self.is_making.swap(true, SeqCst) {
            std::thread::yield_now();
        }
        let result = act();
        self.is_making.store(false, SeqCst);
        result
    }

    /// Returns the entry of `database`, if any.
    pub fn find(&self, database: pg_sys::Oid) -> Option<&Entry> {
        self.entries().find(|entry| entry.database() == database)
    }

    /// Returns the entries in use.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.place.load(SeqCst) != 0)
    }

    /// Registers this process as the launcher.
    pub fn register_launcher(&self) {
        self.launcher_latch.store(my_latch(), SeqCst);
    }

    /// Returns whether the launcher runs. The server does not start it if `max_worker_processes` leaves no room for it.
    pub fn has_launcher(&self) -> bool {
        self.launcher_latch.load(SeqCst) != 0
    }

    /// Makes the launcher look at the registry.
    pub fn wake_launcher(&self) {
        set_latch(self.launcher_latch.load(SeqCst));
    }

    /// Makes the launcher look for unknown databases when it next wakes up.
    pub fn note_new_database(&self) {
        self.is_database_new.store(true, SeqCst);
    }

    /// Returns whether a new database was noted since the last call.
    pub fn take_new_database(&self) -> bool {
        self.is_database_new.swap(false, SeqCst)
    }
}

const DEMAND_BITS: u32 = 2;

fn place_of(database: pg_sys::Oid, changes: u32, demand: Demand) -> u64 {
    let low = changes.wrapping_shl(DEMAND_BITS) | demand as u32;
    u64::from(database.to_u32()) << 32 | u64::from(low)
}

fn database_of(place: u64) -> pg_sys::Oid {
    pg_sys::Oid::from((place >> 32) as u32)
}

fn changes_of(place: u64) -> u32 {
    place as u32 >> DEMAND_BITS
}

fn has_demand(place: u64, demand: Demand) -> bool {
    place as u32 & ((1 << DEMAND_BITS) - 1) == demand as u32
}

/// The state of an entry at some moment.
#[derive(Debug, Clone, Copy)]
pub struct Seen(u64);

impl Entry {
    pub fn database(&self) -> pg_sys::Oid {
        database_of(self.place.load(SeqCst))
    }

    /// Returns whether the database should have a worker.
    pub fn is_wanted(&self) -> bool {
        let place = self.place.load(SeqCst);
        place != 0 && !has_demand(place, Demand::Stopped)
    }

    /// Changes the demand. Returns false if the entry no longer belongs to the database.
    fn demand(&self, database: pg_sys::Oid, demand: Demand) -> bool {
        self.change(database, |place| {
            place_of(database, changes_of(place).wrapping_add(1), demand)
        })
    }

    /// Returns whether somebody asked for the worker since the last call.
    pub fn take_asked(&self, database: pg_sys::Oid) -> bool {
        let mut is_asked = false;
        self.change(database, |place| {
            is_asked = has_demand(place, Demand::Asked);
            match is_asked {
                true => place_of(database, changes_of(place), Demand::Wanted),
                false => place,
            }
        });
        is_asked
    }

    /// Returns the current state, for [`release_unless_asked`](Self::release_unless_asked).
    pub fn seen(&self) -> Seen {
        Seen(self.place.load(SeqCst))
    }

    /// Releases the entry, as a look after `seen` found no extension in its database, unless somebody has asked since.
    pub fn release_unless_asked(&self, seen: Seen) {
        let _ = self.place.compare_exchange(seen.0, 0, SeqCst, SeqCst);
    }

    /// Releases the entry, as its database is gone.
    pub fn release(&self, database: pg_sys::Oid) {
        self.change(database, |_| 0);
    }

    /// Changes the place, unless it belongs to another database. Returns whether it did.
    fn change(&self, database: pg_sys::Oid, mut change: impl FnMut(u64) -> u64) -> bool {
        let its = |place| (database_of(place) == database).then(|| change(place));
        self.place.fetch_update(SeqCst, SeqCst, its).is_ok()
    }

    /// Returns the process id of the running worker.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(SeqCst)).filter(|pid| *pid != 0)
    }

    /// Registers this process as the database's worker, until it exits.
    pub fn register_worker(&'static self) {
        self.latch.store(my_latch(), SeqCst);
        self.pid.store(std::process::id(), SeqCst);
        self.failure.store(0, SeqCst);
        // SAFETY: the callback gets the address of an entry in shared memory, which outlives the process.
        unsafe {
            pg_sys::before_shmem_exit(
                Some(forget_worker),
                pg_sys::Datum::from(std::ptr::from_ref(self) as usize),
            );
        }
    }

    /// Notes whether the worker could not start because all `max_worker_processes` are taken.
    pub fn note_no_slot(&self, no_slot: bool) {
        self.failure.store(u32::from(no_slot), SeqCst);
    }

    /// Returns whether the last start of the worker found no free process slot.
    pub fn found_no_slot(&self) -> bool {
        self.failure.load(SeqCst) != 0
    }

    /// Tells the worker that its tables changed; wakes it unless it knows that already. Cheap, and safe in a commit.
    pub fn wake(&self) {
        if !self.woken.swap(true, SeqCst) {
            set_latch(self.latch.load(SeqCst));
        }
    }

    /// Returns whether [`wake`](Self::wake) was called since the last [`look`](Self::look). Asked before the worker
    /// sleeps, because a wait inside PostgreSQL, such as for a lock, resets the latch.
    pub fn is_woken(&self) -> bool {
        self.woken.load(SeqCst)
    }

    /// Notes that the worker looks at its tables from here on: the next [`wake`](Self::wake) sets its latch again.
    /// Called right before the look, so that no wake-up in between is lost, and that earlier commits, which it would
    /// not heed yet, do not pay for setting it.
    pub fn look(&self) {
        self.woken.store(false, SeqCst);
    }

    /// Calls the worker to its mailbox, even out of a wait.
    pub fn call(&self) {
        self.called.store(true, SeqCst);
        set_latch(self.latch.load(SeqCst));
    }

    /// Returns whether [`call`](Self::call) was called since the last [`answer`](Self::answer).
    pub fn is_called(&self) -> bool {
        self.called.load(SeqCst)
    }

    /// Notes that the worker looks into its mailbox from here on.
    pub fn answer(&self) {
        self.called.store(false, SeqCst);
    }
}

unsafe extern "C-unwind" fn forget_worker(_code: i32, entry: pg_sys::Datum) {
    // SAFETY: the address was taken from a `&'static Entry` in `register_worker`.
    let entry = unsafe { &*(entry.value() as *const Entry) };
    entry.latch.store(0, SeqCst);
    entry.pid.store(0, SeqCst);
    if let Some(registry) = registry() {
        registry.wake_launcher();
    }
}

fn my_latch() -> u64 {
    // SAFETY: after InitProcess, MyLatch points to this process's latch in shared memory.
    unsafe { pg_sys::MyLatch as u64 }
}

fn set_latch(address: u64) {
    if address != 0 {
        // SAFETY: the address is that of a latch in the array of process slots, which is mapped at the same place in
        // every process and never freed. If its process is gone, another one wakes up once for nothing.
        unsafe { pg_sys::SetLatch(address as *mut pg_sys::Latch) }
    }
}
