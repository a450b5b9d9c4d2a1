//! Background worker processes: registering, starting up, being told to stop.

use super::symbols::{
    PostmasterIsAliveInternal, SignalHandlerForConfigReload, SignalHandlerForShutdownRequest,
    pqsignal,
};
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::{IntoDatum, pg_sys};
use std::ffi::CString;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIBRARY: &str = "pg_herald";

/// Registers the launcher with the postmaster; only while the library is preloaded.
pub fn register_launcher(name: &str, main: &str) {
    BackgroundWorkerBuilder::new(name)
        .set_type(name)
        .set_library(LIBRARY)
        .set_function(main)
        .enable_spi_access()
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(Duration::from_secs(5)))
        .load();
}

/// Starts the worker of one database. Returns false if `max_worker_processes` leaves no room.
pub fn start_worker(name: &str, process_type: &str, main: &str, database: pg_sys::Oid) -> bool {
    BackgroundWorkerBuilder::new(name)
        .set_type(process_type)
        .set_library(LIBRARY)
        .set_function(main)
        .enable_spi_access()
        .set_argument((database.to_u32() as i32).into_datum())
        .set_restart_time(None)
        .load_dynamic()
        .is_ok()
}

/// Whether SIGTERM cancels the running statement.
static CANCELS_STATEMENT: AtomicBool = AtomicBool::new(true);

/// Asks the process to stop, and cancels a statement that runs or waits for a lock.
unsafe extern "C-unwind" fn stop_and_cancel(signal: i32) {
    if CANCELS_STATEMENT.load(Ordering::Relaxed) {
        // SAFETY: does what PostgreSQL's own cancel handler does: sets flags that the main thread checks.
        unsafe {
            std::ptr::write_volatile(&raw mut pg_sys::InterruptPending, 1);
            std::ptr::write_volatile(&raw mut pg_sys::QueryCancelPending, 1);
        }
    }
    // SAFETY: PostgreSQL's own handler: sets a flag and the latch.
    unsafe { SignalHandlerForShutdownRequest(signal) }
}

/// Returns whether a stop was requested, before which nothing more may begin.
pub fn is_interrupted() -> bool {
    CANCELS_STATEMENT.load(Ordering::Relaxed) && stop_requested()
}

/// Lets the statements that must still run while the process stops run to their end.
pub fn stop_cancelling_statements() {
    CANCELS_STATEMENT.store(false, Ordering::Relaxed);
    forget_cancellation();
}

/// Drops a cancellation that came too late for its statement.
pub fn forget_cancellation() {
    // SAFETY: main thread; a flag that the signal handlers set.
    unsafe { std::ptr::write_volatile(&raw mut pg_sys::QueryCancelPending, 0) }
}

/// Installs the handlers of a worker and unblocks signals: SIGTERM asks it to stop, SIGHUP to reload its configuration;
/// both wake it.
pub fn take_signals() {
    // SAFETY: a background worker starts with its signals blocked; the handlers are safe to run at any moment.
    unsafe {
        pqsignal(libc::SIGTERM, stop_and_cancel);
        pqsignal(libc::SIGHUP, SignalHandlerForConfigReload);
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// Makes room for `wanted` sockets of the threads, and returns how many file descriptors this process may have in all.
///
/// Raises the limit as far as allowed: PostgreSQL keeps to the limit that it found at its start. If the limit cannot be
/// raised, PostgreSQL keeps fewer of its files open; it lends at most a third of its descriptors.
pub fn make_room_for_sockets(wanted: usize) -> u64 {
    // SAFETY: main thread; what stays acquired is never given back. The rest are plain libc calls on a local value.
    unsafe {
        let acquired = (0..wanted)
            .take_while(|_| pg_sys::AcquireExternalFD())
            .count();
        if acquired < wanted {
            // Keep a few for PostgreSQL: its own waits may need one.
            (0..acquired.min(4)).for_each(|_| pg_sys::ReleaseExternalFD());
        }
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return u64::MAX;
        }
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0 {
            limit = raised;
        }
        limit.rlim_cur
    }
}

/// Runs `body` with all signals blocked except faults, so that threads that it spawns never run a handler.
pub fn with_all_signals_blocked<R>(body: impl FnOnce() -> R) -> R {
    // SAFETY: plain libc calls on a local mask; the synchronous signals stay deliverable, as a fault must not hang.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGABRT,
            libc::SIGTRAP,
            libc::SIGSYS,
        ] {
            libc::sigdelset(&mut all, fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let result = body();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}

/// Connects this worker to the database that it was started for, as the superuser that owns the cluster.
pub fn connect(database: pg_sys::Oid) {
    // SAFETY: called once, first in a worker's main function.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0) }
}

/// Connects the launcher to no database: it sees only the shared catalogs.
pub fn connect_to_shared_catalogs() {
    BackgroundWorker::connect_worker_to_spi(None, None);
}

/// Returns whether the process was asked to stop.
pub fn stop_requested() -> bool {
    // SAFETY: a flag that the signal handler sets; a volatile read of a plain integer.
    unsafe { std::ptr::read_volatile(&raw const pg_sys::ShutdownRequestPending) != 0 }
}

/// Exits if the postmaster is gone. A wait does so too, but not while the latch keeps being set.
pub fn exit_with_postmaster() {
    // SAFETY: main thread, outside a transaction; a read from the pipe that the postmaster holds open.
    unsafe {
        if !PostmasterIsAliveInternal() {
            pg_sys::proc_exit(1);
        }
    }
}

/// Reloads the configuration files if SIGHUP asked for it. Returns whether it did.
pub fn reload_configuration_if_asked() -> bool {
    // SAFETY: main thread, outside a transaction; the flag is set by the signal handler.
    unsafe {
        let pending = std::ptr::read_volatile(&raw const pg_sys::ConfigReloadPending) != 0;
        if pending {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
        pending
    }
}

/// Lets PostgreSQL handle what is pending: cancellation, catalog invalidation, the barriers that DROP DATABASE waits
/// for.
///
/// Outside a transaction a cancellation has nothing to cancel, and nobody would catch its error: it is dropped, as
/// between the commands of a session.
pub fn check_for_interrupts() {
    // SAFETY: main thread; only reads the state of the transaction.
    if !unsafe { pg_sys::IsTransactionState() } {
        forget_cancellation();
    }
    pgrx::check_for_interrupts!();
}

/// Sets what `pg_stat_activity` shows of this process.
pub fn report_activity(text: &str) {
    let text = CString::new(text.replace('\0', " ")).expect("NULs were replaced");
    // SAFETY: main thread of a connected process; the text is copied.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, text.as_ptr()) }
}

/// Exits the process; the postmaster restarts it after its restart time, unless the server is stopping.
pub fn exit_to_be_restarted() -> ! {
    // SAFETY: main thread, outside a transaction.
    #[allow(unreachable_code)]
    {
        unsafe { pg_sys::proc_exit(1) };
        unreachable!("proc_exit does not return")
    }
}

/// A kernel counter through which any thread wakes the main thread; the other side has a clone.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    pub fn new() -> std::io::Result<Self> {
        // SAFETY: the call returns a new descriptor or -1; ownership goes to OwnedFd.
        unsafe {
            let fd = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if fd < 0 {
                Err(std::io::Error::last_os_error())
            } else {
                Ok(Self(OwnedFd::from_raw_fd(fd)))
            }
        }
    }

    pub fn try_clone(&self) -> std::io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Wakes the waiting side. Callable from any thread.
    pub fn signal(&self) {
        let increment = 1u64.to_ne_bytes();
        // SAFETY: writes 8 bytes from a local; a full counter (EAGAIN) is as good as a signal.
        let _ = unsafe { libc::write(self.raw(), increment.as_ptr().cast(), increment.len()) };
    }

    /// Takes the signals so far, so that the next wait sees only later ones.
    pub fn drain(&self) {
        let mut count = [0u8; 8];
        // SAFETY: reads at most 8 bytes into a local; EAGAIN means no signal.
        let _ = unsafe { libc::read(self.raw(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(super) fn raw(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.0.as_fd().as_raw_fd()
    }
}
