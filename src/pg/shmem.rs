//! Shared memory: which database has a worker, and how to wake it.
//!
//! Only atomics: a backend touches this while its transaction commits, where nothing may fail or wait.

use super::identity;
use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgAtomic, pg_shmem_init};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

/// How many databases of one cluster can have a worker.
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
    /// A database may have come that the launcher does not know.
    is_database_new: AtomicBool,
    /// Somebody makes an entry: two at once could make two for one database.
    is_making: AtomicBool,
    entries: [Entry; DATABASES],
}

/// One database with a worker, or with one that is wanted.
#[derive(Default)]
pub struct Entry {
    /// The database and its demand in one, so that nobody takes the entry from under somebody who asks: the oid, in the
    /// low half how often the demand was changed, and in the lowest two bits the demand. 0: free.
    place: AtomicU64,
    pid: AtomicU32,
    latch: AtomicU64,
    woken: AtomicBool,
    called: AtomicBool,
    /// Why the worker could not be started, as `StartFailure`.
    failure: AtomicU32,
}

/// Whether a database should have a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It should not, until somebody asks.
    Stopped,
    /// It should, and the launcher decides when.
    Wanted,
    /// Somebody asked since the launcher last started one: it does not make the worker wait.
    Asked,
}

// SAFETY: nothing but atomics, which are valid between processes; no pointer is followed except to a latch in
// shared memory that is mapped at the same address everywhere (`set_latch`).
unsafe impl PGRXSharedMemory for Registry {}

impl Registry {
    /// One without entries.
    pub fn new() -> Self {
        Self {
            launcher_latch: AtomicU64::new(0),
            is_database_new: AtomicBool::new(false),
            is_making: AtomicBool::new(false),
            entries: std::array::from_fn(|_| Entry::default()),
        }
    }
}

/// Asks for the shared memory; called once, while the library is preloaded.
#[allow(unexpected_cfgs)]
pub fn request() {
    pg_shmem_init!(REGISTRY = Registry::new());
    PRELOADED.store(true, SeqCst);
}

/// The shared registry, or `None` where the library was not preloaded.
pub fn registry() -> Option<&'static Registry> {
    PRELOADED.load(SeqCst).then(|| REGISTRY.get())
}

/// The entry of this process's database, if there is one.
pub fn own_entry() -> Option<&'static Entry> {
    thread_local! {
        /// Where it was last time: to look through all entries takes longer than a commit that wakes nobody else should.
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
    /// Says whether `database` should have a worker, and wakes one that should stop. Returns false when all entries
    /// are taken by other databases.
    pub fn demand(&self, database: pg_sys::Oid, demand: Demand) -> bool {
        loop {
            match self.find(database) {
                // Between the search and the change the entry may have been given back.
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

    /// Asks for another worker of `database`, in the place of one that ends by itself; not where somebody wants none.
    pub fn ask_for_successor(&self, database: pg_sys::Oid) {
        if let Some(entry) = self.find(database) {
            entry.change(database, |place| match has_demand(place, Demand::Stopped) {
                true => place,
                false => place_of(database, changes_of(place).wrapping_add(1), Demand::Asked),
            });
        }
    }

    /// Makes an entry for `database`, unless it has one. Returns false when all are taken by other databases.
    fn make(&self, database: pg_sys::Oid, demand: Demand) -> bool {
        let place = place_of(database, 0, demand);
        let take = |entry: &Entry| {
            let taken = entry.place.compare_exchange(0, place, SeqCst, SeqCst);
            taken.is_ok()
        };
        self.while_alone(|| self.find(database).is_some() || self.entries.iter().any(take))
    }

    /// Does what only one process may do at a time: a spin lock, held for a look at all entries. Nobody stops while
    /// holding it, as nothing in there can fail or be interrupted, and a crash resets the shared memory.
    fn while_alone<T>(&self, act: impl FnOnce() -> T) -> T {
        while self.is_making.swap(true, SeqCst) {
            std::thread::yield_now();
        }
        let result = act();
        self.is_making.store(false, SeqCst);
        result
    }

    /// The entry of `database`, if there is one.
    pub fn find(&self, database: pg_sys::Oid) -> Option<&Entry> {
        self.entries().find(|entry| entry.database() == database)
    }

    /// The entries in use.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.place.load(SeqCst) != 0)
    }

    /// Says that this process is the launcher.
    pub fn register_launcher(&self) {
        self.launcher_latch.store(my_latch(), SeqCst);
    }

    /// Whether the launcher runs. The server does not start it when `max_worker_processes` leaves no room for it.
    pub fn has_launcher(&self) -> bool {
        self.launcher_latch.load(SeqCst) != 0
    }

    /// Makes the launcher look at the registry.
    pub fn wake_launcher(&self) {
        set_latch(self.launcher_latch.load(SeqCst));
    }

    /// Has the launcher look for databases that it does not know when it wakes up next.
    pub fn note_new_database(&self) {
        self.is_database_new.store(true, SeqCst);
    }

    /// Whether there may be a new database since the last call.
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

/// What an entry said at some moment.
#[derive(Debug, Clone, Copy)]
pub struct Seen(u64);

impl Entry {
    pub fn database(&self) -> pg_sys::Oid {
        database_of(self.place.load(SeqCst))
    }

    /// Whether the database should have a worker.
    pub fn is_wanted(&self) -> bool {
        let place = self.place.load(SeqCst);
        place != 0 && !has_demand(place, Demand::Stopped)
    }

    /// Changes the demand. Returns false when the entry is not that database's any more.
    fn demand(&self, database: pg_sys::Oid, demand: Demand) -> bool {
        self.change(database, |place| {
            place_of(database, changes_of(place).wrapping_add(1), demand)
        })
    }

    /// Whether somebody asked for the worker since the last call.
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

    /// What the entry says now, for [`release_unless_asked`](Self::release_unless_asked).
    pub fn seen(&self) -> Seen {
        Seen(self.place.load(SeqCst))
    }

    /// Gives the entry back, as a look after `seen` found no extension in its database; not if anybody asked since.
    pub fn release_unless_asked(&self, seen: Seen) {
        let _ = self.place.compare_exchange(seen.0, 0, SeqCst, SeqCst);
    }

    /// Gives the entry back: its database is gone.
    pub fn release(&self, database: pg_sys::Oid) {
        self.change(database, |_| 0);
    }

    /// Changes the place unless it is another database's.
    fn change(&self, database: pg_sys::Oid, mut change: impl FnMut(u64) -> u64) -> bool {
        let its = |place| (database_of(place) == database).then(|| change(place));
        self.place.fetch_update(SeqCst, SeqCst, its).is_ok()
    }

    /// The process id of the running worker.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(SeqCst)).filter(|pid| *pid != 0)
    }

    /// Says that this process is the database's worker; taken back when the process ends, in whatever way.
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

    /// Notes that no worker could be started because all `max_worker_processes` are taken.
    pub fn note_no_slot(&self, no_slot: bool) {
        self.failure.store(u32::from(no_slot), SeqCst);
    }

    /// Whether the last try to start the worker found no free process slot.
    pub fn found_no_slot(&self) -> bool {
        self.failure.load(SeqCst) != 0
    }

    /// Tells the worker that there is something in its tables; wakes it unless it knows that already. Cheap, and safe
    /// in a commit.
    pub fn wake(&self) {
        if !self.woken.swap(true, SeqCst) {
            set_latch(self.latch.load(SeqCst));
        }
    }

    /// Whether there was a [`wake`](Self::wake) since the last [`look`](Self::look). Asked before the worker sleeps,
    /// because whatever waits inside PostgreSQL, as for a lock, takes the latch's signal away.
    pub fn is_woken(&self) -> bool {
        self.woken.load(SeqCst)
    }

    /// Says that the worker looks at its tables from here on: the next [`wake`](Self::wake) sets its latch again.
    /// Called right before the look, so that a wake-up in between is never lost, and commits that it would not heed
    /// yet do not pay for it.
    pub fn look(&self) {
        self.woken.store(false, SeqCst);
    }

    /// Calls the worker to its mailbox, whatever it waits for.
    pub fn call(&self) {
        self.called.store(true, SeqCst);
        set_latch(self.latch.load(SeqCst));
    }

    /// Whether there was a [`call`](Self::call) since the last [`answer`](Self::answer).
    pub fn is_called(&self) -> bool {
        self.called.load(SeqCst)
    }

    /// Says that the worker looks into its mailbox from here on.
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
        // SAFETY: the address is of a latch in the array of process slots, which is mapped at the same place in
        // every process and never freed. If its process is gone, a stranger wakes up once for nothing.
        unsafe { pg_sys::SetLatch(address as *mut pg_sys::Latch) }
    }
}
