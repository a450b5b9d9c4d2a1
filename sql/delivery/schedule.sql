-- Scheduled events: emit(deliver_at => ...), until they are released or cancelled.

-- Returns when an event with these extensions is of no use any longer.
-- Called by _why().
create function herald_internal.expires_at(extensions text) returns timestamptz
    language c immutable
    as 'MODULE_PATHNAME', 'expires_at_wrapper';

-- Takes the same lock as lock(), unless another transaction has it. Returns whether it did.
create function herald_internal.try_take_lock(name text) returns boolean
    language c strict
    as 'MODULE_PATHNAME', 'try_take_lock_wrapper';

-- Makes deliveries due whose time has come, at most "most", and drops those of cancelled events. Leaves out what
-- another session has locked, or is about to cancel. Returns the subscriptions that have some due now, and when the
-- next one is to be released.
-- Called by the worker. Writes: herald.pending.
create function herald_internal.release_scheduled(most integer, out subscription_ids bigint[], out next_at timestamptz)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    began constant timestamptz := clock_timestamp();
    one record;
    passed integer := 0;
    free boolean;
    free_seq bigint;
    ids bigint[] := '{}';
    seqs bigint[] := '{}';
begin
    for one in
        select p.subscription_id, p.event_seq
        from herald.pending p
        where p.deliver_at <= began
        order by p.deliver_at, p.event_seq
        for update skip locked
    loop
        passed := passed + 1;
        if free_seq is distinct from one.event_seq then
            free_seq := one.event_seq;
            free := herald_internal.try_take_lock('scheduled ' || one.event_seq);
        end if;
        if free then
            ids := ids || one.subscription_id;
            seqs := seqs || one.event_seq;
        end if;
        exit when cardinality(ids) >= most or passed >= 10 * most;
    end loop;
    -- Another statement, so that it sees what was cancelled before the lock was free.
    delete from herald.pending p
    using unnest(ids, seqs) as r (subscription_id, event_seq)
    where p.subscription_id = r.subscription_id and p.event_seq = r.event_seq
    and exists (select from herald_internal.cancelled c where c.event_seq = p.event_seq);
    with released as (
        update herald.pending p
        set next_attempt_at = p.deliver_at, deliver_at = null
        from unnest(ids, seqs) as r (subscription_id, event_seq)
        where p.subscription_id = r.subscription_id and p.event_seq = r.event_seq
        returning p.subscription_id
    )
    select array_agg(distinct r.subscription_id) into subscription_ids from released r;
    select p.deliver_at into next_at from herald.pending p where p.deliver_at is not null order by p.deliver_at limit 1;
end
$$;

-- Cancels a scheduled event, for all subscriptions, before its time. Returns whether nothing of it is sent: false if
-- its time has come.
-- Writes: herald_internal.cancelled, herald.pending.
create function herald.cancel(event_id text) returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    event constant herald.event := herald_internal.find_event(event_id);
begin
    if event.deliver_at is null then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('event "%s" is not scheduled', left(event_id, 100)),
            detail = 'It was emitted without deliver_at, and is delivered as soon as possible.',
            hint = 'To give up what is pending for a subscription, use herald.discard().';
    end if;
    perform herald_internal.lock('scheduled ' || event.seq);
    -- A clock that was set back is not to be believed.
    if clock_timestamp() >= event.deliver_at
        or exists (select from herald.pending p where p.event_seq = event.seq and p.deliver_at is null)
        or exists (select from herald_internal.attempt a where a.event_seq = event.seq)
    then
        return exists (select from herald_internal.cancelled c where c.event_seq = event.seq);
    end if;
    insert into herald_internal.cancelled (event_seq, deliver_at) values (event.seq, event.deliver_at)
    on conflict do nothing;
    delete from herald.pending p where p.event_seq = event.seq and p.deliver_at is not null;
    return true;
end
$$;
