//! Heavyweight locks that no SQL function offers.

use pgrx::pg_sys;

/// Takes, for the rest of this session, the lock that makes this process the only worker of its database.
/// Returns false when another process holds it.
///
/// It is a lock on the extension's own object with a sub-id that nothing else uses: it needs no privilege that a
/// user could squat on, as an advisory lock would, and DROP EXTENSION does not wait for it. It belongs to the lock
/// method of advisory locks all the same, because PostgreSQL releases only those at the end of a process whatever
/// way it ends, and leaves only those alone when a transaction is rolled back.
pub fn try_become_only_worker(extension: pg_sys::Oid) -> bool {
    let tag = only_worker(extension);
    // SAFETY: the tag is well formed and lives over the call; a session lock is released when the process ends.
    let result = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, true, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Lets another process become the only worker before this one has ended.
pub fn release_only_worker(extension: pg_sys::Oid) {
    let tag = only_worker(extension);
    // SAFETY: the tag is well formed and lives over the call; this session holds the lock.
    unsafe {
        pg_sys::LockRelease(&tag, pg_sys::ExclusiveLock as i32, true);
    }
}

fn only_worker(extension: pg_sys::Oid) -> pg_sys::LOCKTAG {
    const WORKER: u16 = 0x6864;
    tag(extension.to_u32(), WORKER, pg_sys::USER_LOCKMETHOD)
}

/// The lock on reading the log on, also on the extension's own object.
fn reading(extension: pg_sys::Oid) -> pg_sys::LOCKTAG {
    const READING: u16 = 0x6865;
    tag(extension.to_u32(), READING, pg_sys::DEFAULT_LOCKMETHOD)
}

/// Whether the log may be read on in this transaction. It is not waited for.
pub fn may_read(extension: pg_sys::Oid) -> bool {
    let tag = reading(extension);
    // SAFETY: inside a transaction; the tag is well formed and lives over the call.
    let result = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ShareLock as i32, false, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Waits until the log is not being read, and keeps it so until the end of the transaction.
pub fn keep_from_reading(extension: pg_sys::Oid) {
    take(&reading(extension));
}

/// Takes the lock of this number until the end of the (sub)transaction.
///
/// It is a lock on an object of pg_extension, as above, with a sub-id that PostgreSQL itself never uses: nobody can take
/// it but through here, as opposed to an advisory lock, which every role can take by its number.
pub fn for_transaction(number: u64) {
    /// Keeps the sub-id apart from 0, which is the extension as such.
    const OURS: u16 = 0x8000;
    // 47 bits of the number tell the locks apart.
    let sub_id = OURS | (number >> 32) as u16;
    take(&tag(number as u32, sub_id, pg_sys::DEFAULT_LOCKMETHOD));
}

/// Waits for a lock as for a row: with deadlock detection, `lock_timeout` and cancel.
fn take(tag: &pg_sys::LOCKTAG) {
    // SAFETY: inside a transaction, with which the lock ends; the tag is well formed and lives over the call.
    unsafe {
        pg_sys::LockAcquire(tag, pg_sys::ExclusiveLock as i32, false, false);
    }
}

/// A lock on an object of pg_extension in this database.
fn tag(object: u32, sub_id: u16, method: u32) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        locktag_field1: super::identity::database().to_u32(),
        locktag_field2: pg_sys::ExtensionRelationId.to_u32(),
        locktag_field3: object,
        locktag_field4: sub_id,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: method as u8,
    }
}

/// Locks a table for writing until the end of the transaction, unless somebody's lock is in the way. Returns whether it did.
pub fn try_for_writing(table: pg_sys::Oid) -> bool {
    // SAFETY: inside a transaction.
    unsafe { pg_sys::ConditionalLockRelationOid(table, pg_sys::RowExclusiveLock as i32) }
}

/// Locks a table for writing until the end of the transaction. An ERROR comes later if it is not there.
pub fn for_writing(table: pg_sys::Oid) {
    // SAFETY: inside a transaction.
    unsafe { pg_sys::LockRelationOid(table, pg_sys::RowExclusiveLock as i32) }
}
