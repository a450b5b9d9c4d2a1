-- What the other files need: the origin of rows, waking the worker, locks.

create function herald_internal.origin() returns bigint
    language c stable
    as 'MODULE_PATHNAME', 'origin_wrapper';

create function herald_internal.want_worker_at_commit() returns void
    language c
    as 'MODULE_PATHNAME', 'want_worker_at_commit_wrapper';

-- Takes the lock of a name until the end of the transaction. Only this function takes it, and only superusers may call
-- it: anybody who knows its number could take an advisory lock.
create function herald_internal.lock(name text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'take_lock_wrapper';

-- Raises PostgreSQL's own error if this transaction may not write, as on a standby, before a lock or an id for the
-- transaction fails in other words.
create function herald_internal.refuse_read_only(command text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'refuse_read_only_wrapper';
