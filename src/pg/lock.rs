//! Heavyweight locks that no SQL function offers.

use pgrx::pg_sys;

/// Takes, for the rest of this session, the lock that makes this process the only worker of its database. Returns false
/// if another process holds it.
///
/// It is a lock on the extension's own object with a sub-id that nothing else uses: users cannot squat on it, as on an
/// advisory lock, and DROP EXTENSION does not wait for it. It still uses the lock method of advisory locks, because
/// PostgreSQL releases only those however a process ends, and keeps only those when a transaction rolls back.
pub fn try_become_only_worker(extension: pg_sys::Oid) -> bool {
    let tag = only_worker(extension);
    // SAFETY: the tag is well formed and outlives the call; a session lock is released when the process ends.
    let result = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, true, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Lets another process become the only worker before this one has ended.
pub fn release_only_worker(extension: pg_sys::Oid) {
    let tag = only_worker(extension);
    // SAFETY: the tag is well formed and outlives the call; this session holds the lock.
    unsafe {
        pg_sys::LockRelease(&tag, pg_sys::ExclusiveLock as i32, true);
    }
}

fn only_worker(extension: pg_sys::Oid) -> pg_sys::LOCKTAG {
    const WORKER: u16 = 0x6864;
    tag(extension.to_u32(), WORKER, pg_sys::USER_LOCKMETHOD)
}

/// Returns the lock on reading the log further, also on the extension's own object.
fn reading(extension: pg_sys::Oid) -> pg_sys::LOCKTAG {
    const READING: u16 = 0x6865;
    tag(extension.to_u32(), READING, pg_sys::DEFAULT_LOCKMETHOD)
}

/// Returns whether this transaction may read the log further. Does not wait.
pub fn may_read(extension: pg_sys::Oid) -> bool {
    let tag = reading(extension);
    // SAFETY: inside a transaction; the tag is well formed and outlives the call.
    let result = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ShareLock as i32, false, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Waits until nobody reads the log, and keeps it so until the end of the transaction.
pub fn keep_from_reading(extension: pg_sys::Oid) {
    take(&reading(extension));
}

/// Takes the lock with this number until the end of the (sub)transaction.
///
/// It is a lock on an object of pg_extension, as above, with a sub-id that PostgreSQL itself never uses: only this
/// function can take it, while any role can take an advisory lock by its number.
pub fn for_transaction(number: u64) {
    take(&numbered(number));
}

/// Does the same as [`for_transaction`], but does not wait. Returns whether it took the lock.
pub fn try_for_transaction(number: u64) -> bool {
    let tag = numbered(number);
    // SAFETY: inside a transaction, with which the lock ends; the tag is well formed and outlives the call.
    let result = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, false, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

fn numbered(number: u64) -> pg_sys::LOCKTAG {
    /// Keeps the sub-id apart from 0, which is the extension itself.
    const OURS: u16 = 0x8000;
    // 47 bits of the number tell the locks apart.
    let sub_id = OURS | (number >> 32) as u16;
    tag(number as u32, sub_id, pg_sys::DEFAULT_LOCKMETHOD)
}

/// Waits for a lock as for a row: with deadlock detection, `lock_timeout` and cancel.
fn take(tag: &pg_sys::LOCKTAG) {
    // SAFETY: inside a transaction, with which the lock ends; the tag is well formed and outlives the call.
    unsafe {
        pg_sys::LockAcquire(tag, pg_sys::ExclusiveLock as i32, false, false);
    }
}

/// Returns a lock on an object of pg_extension in this database.
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

/// Locks a table for writing until the end of the transaction, unless another lock conflicts. Returns whether it did.
pub fn try_for_writing(table: pg_sys::Oid) -> bool {
    // SAFETY: inside a transaction.
    unsafe { pg_sys::ConditionalLockRelationOid(table, pg_sys::RowExclusiveLock as i32) }
}

/// Locks a table for writing until the end of the transaction. If the table is missing, an ERROR comes later.
pub fn for_writing(table: pg_sys::Oid) {
    // SAFETY: inside a transaction.
    unsafe { pg_sys::LockRelationOid(table, pg_sys::RowExclusiveLock as i32) }
}
