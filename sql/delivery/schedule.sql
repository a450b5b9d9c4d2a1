-- Scheduled events: emit(deliver_at => ...), until they are released or cancelled.

-- Returns when an event with these extensions is of no use any longer.
-- Called by _why().
create function herald_internal.expires_at(extensions text) returns timestamptz
    language c immutable
    as 'MODULE_PATHNAME', 'expires_at_wrapper';

-- Locks a scheduled event until this transaction ends: who releases and who cancels it do not do so at once.
-- Called by release_scheduled(), cancel().
create function herald_internal.try_lock_scheduled(event_seq bigint) returns boolean
    language sql
    set search_path = pg_catalog, pg_temp
    return pg_try_advisory_xact_lock(hashtextextended('pg_herald scheduled', event_seq));

-- Makes deliveries due whose time has come, at most "most", and drops those of cancelled events. Skips what is being
-- cancelled. Returns the subscriptions that have some now, and when the next one is to be released.
-- Called by the worker. Writes: herald.pending.
create function herald_internal.release_scheduled(most integer, out subscription_ids bigint[], out next_at timestamptz)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    due bigint[];
    locked bigint[];
begin
    due := array(
        select distinct d.event_seq
        from (select p.event_seq from herald.pending p
              where p.deliver_at <= clock_timestamp() order by p.deliver_at limit most) d);
    locked := array(select d from unnest(due) d where herald_internal.try_lock_scheduled(d));
    -- Another statement, so that it sees what was cancelled before the lock was free.
    delete from herald.pending p
    where p.event_seq = any (locked) and p.deliver_at is not null
    and exists (select from herald_internal.cancelled c where c.event_seq = p.event_seq);
    with released as (
        update herald.pending p
        set next_attempt_at = p.deliver_at, deliver_at = null
        where p.event_seq = any (locked) and p.deliver_at is not null
        returning p.subscription_id
    )
    select array_agg(distinct r.subscription_id) into subscription_ids from released r;
    select p.deliver_at into next_at from herald.pending p where p.deliver_at is not null order by p.deliver_at limit 1;
end
$$;

-- Cancels a scheduled event, for all subscriptions, before its time. Returns whether nothing of it is sent: false if its
-- time has come.
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
    perform pg_advisory_xact_lock(hashtextextended('pg_herald scheduled', event.seq));
    if clock_timestamp() >= event.deliver_at then
        return exists (select from herald_internal.cancelled c where c.event_seq = event.seq);
    end if;
    insert into herald_internal.cancelled (event_seq, deliver_at) values (event.seq, event.deliver_at)
    on conflict do nothing;
    delete from herald.pending p where p.event_seq = event.seq and p.deliver_at is not null;
    return true;
end
$$;
