-- Empties slots whose retention is over.

-- Whether a slot of events was read to its end and contains nothing younger than the retention. Takes no lock. Most
-- slots are within their retention, which one index look-up shows; only for the others are all windows read, to find
-- how far the log was read.
create function herald_internal.is_event_slot_over(slot smallint, retention interval) returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    partition constant text := format('herald_internal.event_%s', slot);
    read_to record;
    is_over boolean;
begin
    execute format('select (select e.uid from %s e order by e.seq desc limit 1) < $1', partition)
    into is_over
    using herald_internal.uid_at(clock_timestamp() - retention);
    if is_over is not true then
        return false;
    end if;
    select c.snapshot, c.seq into read_to from herald_internal.cursor() c;
    -- Events that the cursor does not show have higher numbers than its own: the rest of the slot need not be read.
    execute format(
        'select not exists (
             select from %s e
             where e.seq > $3 and e.xid >= pg_snapshot_xmin($1) and not pg_visible_in_snapshot(e.xid, $1)
             and e.origin = $2)',
        partition)
    into is_over
    using read_to.snapshot, herald_internal.origin(), read_to.seq;
    return read_to.snapshot is not null and is_over;
end
$$;

-- Copies one event of a slot, or what can be read of it if it is damaged.
-- Called by hold_events(). Writes: herald.held_event.
create function herald_internal.hold_event(slot smallint, seq bigint) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    insert into herald.held_event
    select e.* from herald.event e where e.slot = $1 and e.seq = $2
    on conflict do nothing;
exception when data_exception or program_limit_exceeded or internal_error then
    begin
        insert into herald.held_event (seq, xid, origin, time, uid, size, slot, source, type, tenant, priority)
        select e.seq, e.xid, e.origin, e.time, e.uid, e.size, e.slot, e.source, e.type, e.tenant, e.priority
        from herald.event e
        where e.slot = $1 and e.seq = $2
        on conflict do nothing;
    exception when data_exception or program_limit_exceeded or internal_error then
        raise warning 'pg_herald: event number % cannot be read, and is not kept for its deliveries: %', seq, sqlerrm;
    end;
end
$$;

-- Copies events that pending deliveries or dead letters still need out of a slot that will be emptied. Returns how many
-- were copied: fewer than "most" means all.
-- Writes: herald.held_event.
create function herald_internal.hold_events(slot smallint, most integer) returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    first_seq bigint;
    last_seq bigint;
    needed bigint[];
begin
    -- A slot is written for one period at a time, so its numbers are close together.
    execute format('select min(e.seq), max(e.seq) from herald_internal.event_%s e', slot) into first_seq, last_seq;
    needed := array(
        select n.event_seq
        from (
            select p.event_seq from herald.pending p
            where p.event_seq between first_seq and last_seq and p.event_slot = hold_events.slot
            union
            select d.event_seq from herald_internal.dead_letter d
            where d.event_seq between first_seq and last_seq and d.event_slot = hold_events.slot
        ) n
        where not exists (select from herald.held_event h where h.seq = n.event_seq)
        limit most);
    begin
        insert into herald.held_event
        select e.*
        from herald.event e
        where e.slot = hold_events.slot and e.seq = any (needed)
        on conflict do nothing;
    exception when data_exception or program_limit_exceeded or internal_error then
        perform herald_internal.hold_event(slot, n) from unnest(needed) n;
    end;
    return cardinality(needed);
end
$$;

-- Locks a slot for this transaction alone, unless somebody uses it now. Returns whether it did.
create function herald_internal.try_lock(partition regclass) returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('lock table %s in access exclusive mode nowait', partition);
    return true;
exception when lock_not_available then
    return false;
end
$$;

-- Empties one slot of events, if its time is over and nobody uses it now. Returns whether it was emptied.
-- Writes: herald.event, herald.held_event.
create function herald_internal.empty_event_slot(slot smallint, retention interval) returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not herald_internal.try_lock(format('herald_internal.event_%s', slot)::regclass) then
        return false;
    end if;
    -- From here on nobody else can add a row, and this check has a new snapshot: it sees what was committed.
    if not herald_internal.is_event_slot_over(slot, retention) then
        return false;
    end if;
    perform herald_internal.hold_events(slot, 2147483647);
    execute format('truncate herald_internal.event_%s', slot);
    return true;
end
$$;

-- Whether a slot of attempts contains nothing younger than the retention. Takes no lock.
create function herald_internal.is_attempt_slot_over(slot smallint, retention interval) returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    partition constant text := format('herald_internal.attempt_%s', slot);
    last_page constant bigint := pg_relation_size(partition::regclass) / current_setting('block_size')::bigint - 1;
    youngest timestamptz;
begin
    -- Rows are only added at the end, so the youngest is on one of the last pages.
    execute format('select max(a.at) from %s a where a.ctid >= $1', partition)
    into youngest
    using format('(%s,0)', greatest(last_page - 2, 0))::tid;
    return coalesce(youngest < clock_timestamp() - retention, true);
end
$$;

-- Empties one slot of attempts, if its time is over and nobody uses it now. Returns whether it was emptied.
-- Writes: herald_internal.attempt.
create function herald_internal.empty_attempt_slot(slot smallint, retention interval) returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not herald_internal.try_lock(format('herald_internal.attempt_%s', slot)::regclass) then
        return false;
    end if;
    if not herald_internal.is_attempt_slot_over(slot, retention) then
        return false;
    end if;
    execute format('truncate herald_internal.attempt_%s', slot);
    return true;
end
$$;

-- Deletes held events that nothing refers to any longer, among the next "most" after a seq. Returns where to continue,
-- and how many were deleted.
-- Writes: herald.held_event.
create function herald_internal.release_events(after_seq bigint, most integer, out last_seq bigint, out deleted bigint)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with looked_at as (
        select h.seq from herald.held_event h where h.seq > after_seq order by h.seq limit most
    ), gone as (
        delete from herald.held_event h
        using looked_at l
        where h.seq = l.seq
        and not exists (select from herald.pending p where p.event_seq = l.seq)
        and not exists (select from herald_internal.dead_letter d where d.event_seq = l.seq)
        returning 1
    )
    select coalesce((select max(l.seq) from looked_at l having count(*) = most), 0), (select count(*) from gone)
$$;

-- Empties one slot of windows, if every window in it is closed, a later window tells how far the log was read, and
-- nobody uses it now: a dump, or wait(), keeps it while it runs.
-- Writes: herald_internal.window.
create function herald_internal.empty_window_slot(slot smallint) returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    last_number bigint;
begin
    select max(w.number) into last_number
    from herald_internal.window w
    where w.state = 'open' and w.origin = herald_internal.origin();
    -- The slot being written and the previous one stay.
    if (last_number / 10000) % 4 in (empty_window_slot.slot, (empty_window_slot.slot + 1) % 4)
        or not exists (select from herald_internal.window w where w.slot = empty_window_slot.slot)
        or exists (
            select from herald_internal.window w
            where w.slot = empty_window_slot.slot and w.state = 'open'
            and (w.number > last_number - 10000 or not exists (
                select from herald_internal.window c
                where c.slot = w.slot and c.number = w.number and c.origin = w.origin and c.state = 'closed')))
    then
        return false;
    end if;
    if not herald_internal.try_lock(format('herald_internal.window_%s', slot)::regclass) then
        return false;
    end if;
    execute format('truncate herald_internal.window_%s', slot);
    return true;
end
$$;

-- Empties a slot of events, or else of attempts, if all of it is old enough; before a slot of events is emptied, copies
-- up to "most" that are still needed. Returns whether it did something, so that more may be left to do.
-- Called by keep_house(). Writes: herald.held_event, the slot.
create function herald_internal.empty_slot(slot smallint, retention interval, most integer) returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_relation_size(format('herald_internal.event_%s', slot)::regclass) > 0
        and herald_internal.is_event_slot_over(slot, retention)
        and (herald_internal.hold_events(slot, most) >= most or herald_internal.empty_event_slot(slot, retention))
    then
        return true;
    end if;
    return pg_relation_size(format('herald_internal.attempt_%s', slot)::regclass) > 0
        and herald_internal.is_attempt_slot_over(slot, retention)
        and herald_internal.empty_attempt_slot(slot, retention);
end
$$;
