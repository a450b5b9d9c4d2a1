-- Where the worker reads from: in the database that wrote the log, after a restore, an upgrade or a copy.

-- Whether the database contains rows of another database. A restore brings them table by table, maybe subscriptions
-- first. The worker asks at each change of a subscription: this uses the index, and cached plans, which SQL functions
-- lack.
create function herald_internal.is_copy() returns boolean
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    own constant bigint := herald_internal.origin();
begin
    return exists (select from herald_internal.window w where w.origin <> own)
        or exists (select from herald_internal.subscription s where s.origin < own)
        or exists (select from herald_internal.subscription s where s.origin > own);
end
$$;

-- Returns why the worker must not send: this database is a copy, its transaction ids went backwards, or herald.instance
-- or the timeline holds it. Null if it may.
-- Called by the worker at its start, doctor(), resume_after_restore(). Reads: herald_internal.window,
-- herald_internal.subscription.
create function herald_internal.hold_reason() returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when herald_internal.is_copy()
            then 'this is a copy of another database: a restore, an upgrade or a template'
        when (select pg_snapshot_xmax(w.to_snapshot) from herald_internal.window w
              where w.state = 'open' and w.origin = herald_internal.origin() order by w.number desc limit 1)
             > pg_snapshot_xmax(pg_current_snapshot())
            then 'transaction ids are lower than when the log was last read'
        when nullif(current_setting('herald.instance', true), '') <> current_setting('cluster_name')
            then format('herald.instance is "%s" and cluster_name is "%s"',
                        current_setting('herald.instance', true), current_setting('cluster_name'))
        when current_setting('herald.on_timeline_change', true) = 'pause'
             and (select w.timeline from herald_internal.window w
                  where w.state = 'open' and w.origin = herald_internal.origin() and w.timeline > 0
                  order by w.number desc limit 1)
                 <> herald_internal.timeline()
            then 'the cluster was promoted or recovered to a new timeline'
    end;
end
$$;

create function herald_internal.timeline() returns integer
    language c stable
    as 'MODULE_PATHNAME', 'timeline_wrapper';

-- Returns a snapshot of what others have committed, without this transaction. pg_current_snapshot() shows this
-- transaction as over once a later one is, although it may still write events.
create function herald_internal.committed_by_others() returns pg_snapshot
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select format('%s:%s:%s', least(pg_snapshot_xmin(n.snapshot), n.me),
                  greatest(pg_snapshot_xmax(n.snapshot), (n.me::text::bigint + 1)::text::xid8),
                  (select string_agg(r.xid::text, ',' order by r.xid)
                   from (select pg_snapshot_xip(n.snapshot) union select n.me) as r (xid)))::pg_snapshot
    from (select pg_current_snapshot(), pg_current_xact_id()) as n (snapshot, me)
$$;

-- Returns the highest number that an event may have by now. An unused sequence says 1, which is the next number.
create function herald_internal.last_seq() returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
    return (select case when s.is_called then s.last_value else 0 end from herald_internal.event_seq s);

-- Writes the first window: what it shows is read again, except what is already recorded, and nothing before it. A
-- window that shows nothing says where the worker continues.
create function herald_internal.start_reading(from_snapshot pg_snapshot, floor_seq bigint) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into herald_internal.window (
        number, origin, slot, state, timeline, from_snapshot, to_snapshot, floor_seq, upper_seq,
        next_seq, next_floor_seq)
    select 0, herald_internal.origin(), 0, 'open', herald_internal.timeline(), $1,
           herald_internal.committed_by_others(), $2, n.seq, n.seq, n.seq
    from (select herald_internal.last_seq()) n (seq)
$$;

-- After a restore, an upgrade or a copy: makes this database the origin of its log, and decides about the events that
-- were not delivered when the copy was made. deliver: they become pending. skip: none of them is sent, and pending
-- deliveries become dead letters.
create function herald.resume_after_restore(mode text)
    returns table (pending bigint, skipped bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    old_cursor record;
    reason constant text := herald_internal.hold_reason();
    running_worker integer;
    is_copy constant boolean := herald_internal.is_copy();
begin
    if mode is null or mode not in ('deliver', 'skip') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown mode "%s"', mode),
            hint = 'Use deliver or skip.';
    end if;
    if reason is null then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'the worker is not paused after a restore',
            detail = 'This database is the origin of its log.', hint = 'See: select * from herald.doctor();';
    end if;
    if reason like 'herald.instance%' then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'herald.instance holds the worker',
            detail = reason, hint = 'Set herald.instance to the cluster_name of this cluster, or reset it.';
    end if;
    -- A worker that was running when the log was put here has read on without it. The next worker sees that a decision
    -- is missing, waits, and then reads from where the decision says.
    select a.pid into running_worker from pg_stat_activity a
    where a.backend_type = 'pg_herald worker' and a.datname = current_database() and a.query not like 'paused: %';
    if found and not pg_terminate_backend(running_worker, 10000) then
        raise exception using errcode = 'object_in_use', message = 'the worker of this database does not stop',
            hint = 'Try again.';
    end if;
    -- The worker must not read while the log changes its origin.
    lock table herald_internal.window in access exclusive mode;
    lock table herald.event in share row exclusive mode;
    pending := 0;
    skipped := 0;
    if not is_copy then
        -- Where transaction ids went backwards, a subscription would seem younger than the events written here.
        update herald_internal.subscription s
        set created_xid = '3', created_snapshot = '3:3:'
        where s.removed_at is null
        and greatest(s.created_xid, pg_snapshot_xmax(s.created_snapshot)) > pg_snapshot_xmax(pg_current_snapshot());
    end if;
    update herald_internal.subscription s set disabled_xid = '3' where s.disabled_xid is not null;
    update herald_internal.subscription s
    set origin = herald_internal.origin()
    where s.origin <> herald_internal.origin();
    -- What the last reader of each origin had closed. Rows of another origin are complete: a restore contains only
    -- committed rows.
    for old_cursor in
        select o.origin, coalesce(min(o.number) filter (where not o.is_closed), max(o.number) + 1) as first_open
        from (
            select w.origin, w.number,
                   exists (select from herald_internal.window c where c.slot = w.slot and c.number = w.number
                           and c.origin = w.origin and c.state = 'closed') as is_closed
            from herald_internal.window w
            where w.state = 'open' and (w.origin <> herald_internal.origin() or not is_copy)
        ) o
        group by o.origin
    loop
        if mode = 'deliver' then
            with read_to as (
                select w.to_snapshot as snapshot, w.upper_seq
                from herald_internal.window w
                where w.origin = old_cursor.origin and w.state = 'open' and w.number < old_cursor.first_open
                order by w.number desc limit 1
            ), open_events as (
                select e.slot, e.seq, e.tenant, e.source, e.key, e.deliver_at, s.id as subscription_id,
                       s.options ->> 'ordering' as ordering
                from herald.event e
                join herald_internal.subscription s on herald_internal.is_for(s, e)
                where e.origin = old_cursor.origin
                -- Higher numbers were not read, whatever their transaction ids look like by now.
                and not coalesce((select e.seq <= r.upper_seq and pg_visible_in_snapshot(e.xid, r.snapshot)
                                  from read_to r), false)
                and not exists (
                    select from herald_internal.attempt a where a.event_seq = e.seq and a.subscription_id = s.id)
                and not exists (
                    select from herald_internal.dead_letter d where d.event_seq = e.seq and d.subscription_id = s.id)
            )
            insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at, order_key, order_at,
                                        deliver_at, created_at)
            select o.subscription_id, o.slot, o.seq, w.next_attempt_at, w.order_key, w.order_at, w.deliver_at,
                   w.created_at
            from open_events o
            cross join lateral herald_internal.place_of(
                o.ordering, o.tenant, o.source, o.key, o.seq, o.deliver_at) w
            on conflict do nothing;
        end if;
    end loop;
    if mode = 'skip' then
        select coalesce(sum(herald_internal.bury_pending(s.id, 'discarded', 'infinity', 'skipped after a restore')), 0)
        into skipped
        from herald_internal.subscription s;
    else
        pending := (select count(*) from herald.pending);
    end if;
    truncate herald_internal.window;
    perform herald_internal.note_functions(w.id) from herald_internal.watch w;
    perform herald_internal.note_columns(w.id) from herald_internal.watch w;
    if is_copy then
        -- Events from here before the decision belong to no other database: they are read from where this database
        -- began, even those passed by a worker that knew none of these subscriptions.
        perform herald_internal.start_reading('3:3:', 0);
        -- The old database's subscriptions existed before everything that happens here.
        update herald_internal.subscription s
        set created_xid = '3', created_snapshot = '3:3:', created_seq = 0
        where s.removed_at is null;
    else
        perform herald_internal.start_reading(herald_internal.committed_by_others(), herald_internal.last_seq());
    end if;
    perform herald_internal.changed('pending');
    perform herald_internal.want_worker_at_commit();
    return next;
end
$$;
