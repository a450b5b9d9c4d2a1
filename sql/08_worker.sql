-- The worker's life: starts and stops it, decides from where it reads after a restore, and shows how it fares.

create function herald._want_worker(wanted boolean) returns boolean
    language c volatile
    as 'MODULE_PATHNAME', 'want_worker_wrapper';

-- Does what start_worker() and restart_worker() do on a standby: the launcher, which begins at the promotion, will
-- start a worker that somebody stopped.
create function herald._wait_for_promotion() returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform herald._want_worker(true);
    raise notice using
        message = 'the worker starts when this standby is promoted',
        detail = 'A standby cannot record what it sends, so it has no worker.';
    return 'standby';
end
$$;

-- Starts the worker of this database, if it does not run. On a standby, only says when it will start.
create function herald.start_worker() returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    until constant timestamptz := clock_timestamp() + '5 s';
begin
    if pg_is_in_recovery() then
        return herald._wait_for_promotion();
    end if;
    if not herald._is_preloaded() then
        raise warning using
            message = 'the worker runs until the server restarts, and looks for work only every herald.poll_interval',
            detail = 'pg_herald is not in shared_preload_libraries.',
            hint = 'Add pg_herald to shared_preload_libraries in postgresql.conf and restart the server.';
    end if;
    -- A server that has just started may not have reached the launcher yet.
    loop
        exit when herald._want_worker(true);
        if clock_timestamp() > until then
            raise exception using errcode = 'insufficient_resources', message = 'the worker cannot be started',
                detail = 'No background worker slot is free.',
                hint = format('Raise max_worker_processes (now %s) and restart the server.', current_setting('max_worker_processes'));
        end if;
        perform pg_sleep(0.01);
    end loop;
    return 'starting';
end
$$;

-- Returns the last death of this database's worker, unless it was long ago: how many deaths there were in a row, the
-- step, how many deliveries were under way, and one of them, whose subscription is null if the event alone is the
-- cause. No row if the worker did not die.
create function herald._last_death()
    returns table (deaths integer, died_at timestamptz, starts_at timestamptz, step text, deliveries integer,
                   event_slot smallint, event_seq bigint, subscription_id bigint)
    language c volatile
    as 'MODULE_PATHNAME', 'last_death_wrapper';

-- What doctor() says of the deaths of the worker.
-- Called by doctor(). Reads: herald.event, herald._subscription.
create function herald._doctor_death() returns table ("check" text, status text, detail text, hint text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select 'death', case when w.is_waiting then 'error' else 'warning' end,
           format('the worker died %s times in a row, the last time at %s in the step "%s"', d.deaths, d.died_at::timestamptz(0), d.step)
           || case when d.deliveries > 0 then format(' with %s deliveries', d.deliveries) else '' end
           || case when d.event_seq is null then ''
                  else format(', %sevent %s', case when d.deliveries > 1 then 'among them ' end,
                              coalesce(e.uid::text, format('%s of slot %s', d.event_seq, d.event_slot)))
                      || coalesce(' to subscription ' || coalesce('"' || s.name || '"', d.subscription_id::text), '') end
           || case when w.is_waiting then format('; it starts again at %s', d.starts_at::timestamptz(0)) else '' end,
           case when w.is_waiting then 'Run: select herald.start_worker(); to start it now. '
               else 'Its deliveries are sent one at a time, and what kills the worker again becomes a dead letter. ' end
           || 'See the server''s log for the cause, and report it.'
    from herald._last_death() d
    left join herald._subscription s on s.id = d.subscription_id
    left join lateral (select e.uid from herald.event e where e.slot = d.event_slot and e.seq = d.event_seq) e on true
    cross join lateral (select coalesce(d.starts_at > clock_timestamp(), false) and herald._worker_pid() is null) w (is_waiting)
$$;

-- Stops the worker of this database. Events are captured and kept until it is started again.
create function herald.stop_worker(timeout interval default '10 s') returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    until timestamptz;
begin
    perform herald._check_span('timeout', timeout, '0', '1 day', 'Leave it out for 10 s.');
    until := clock_timestamp() + coalesce(timeout, '10 s');
    perform herald._want_worker(false);
    if not herald._is_preloaded() then
        perform pg_terminate_backend(a.pid) from pg_stat_activity a
        where a.backend_type = 'pg_herald worker' and a.datname = current_database();
    end if;
    loop
        perform pg_stat_clear_snapshot();
        exit when not exists (select from pg_stat_activity a
                              where a.backend_type = 'pg_herald worker' and a.datname = current_database());
        if clock_timestamp() > until then
            return 'stopping';
        end if;
        perform pg_sleep(0.01);
    end loop;
    return 'stopped';
end
$$;

create function herald._want_worker_afterwards() returns void
    language c volatile
    as 'MODULE_PATHNAME', 'want_worker_afterwards_wrapper';

-- Stops the worker of this database and starts it again, with the settings then in force.
create function herald.restart_worker() returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_is_in_recovery() then
        return herald._wait_for_promotion();
    end if;
    perform herald.stop_worker();
    if not herald._is_preloaded() then
        return herald.start_worker();
    end if;
    -- Not earlier: a setting that this transaction changes would be missing.
    perform herald._want_worker_afterwards();
    return 'starting';
end
$$;

-- Whether the database contains rows of another database. A restore brings them table by table, maybe subscriptions
-- first. The worker asks at each change of a subscription: this uses the index, and cached plans, which SQL functions
-- lack.
create function herald._is_copy() returns boolean
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    own constant bigint := herald._origin();
begin
    return exists (select from herald.window w where w.origin <> own)
        or exists (select from herald._subscription s where s.origin < own)
        or exists (select from herald._subscription s where s.origin > own);
end
$$;

-- Returns why the worker must not send: this database is a copy, its transaction ids went backwards, or herald.instance
-- or the timeline holds it. Null if it may.
-- Called by the worker at its start, doctor(), resume_after_restore(). Reads: herald.window, herald._subscription.
create function herald._hold_reason() returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when herald._is_copy()
            then 'this is a copy of another database: a restore, an upgrade or a template'
        when (select pg_snapshot_xmax(w.to_snapshot) from herald.window w
              where w.state = 'open' and w.origin = herald._origin() order by w.number desc limit 1)
             > pg_snapshot_xmax(pg_current_snapshot())
            then 'transaction ids are lower than when the log was last read'
        when nullif(current_setting('herald.instance', true), '') <> current_setting('cluster_name')
            then format('herald.instance is "%s" and cluster_name is "%s"',
                        current_setting('herald.instance', true), current_setting('cluster_name'))
        when current_setting('herald.on_timeline_change', true) = 'pause'
             and (select w.timeline from herald.window w
                  where w.state = 'open' and w.origin = herald._origin() and w.timeline > 0 order by w.number desc limit 1)
                 <> herald._timeline()
            then 'the cluster was promoted or recovered to a new timeline'
    end;
end
$$;

create function herald._timeline() returns integer
    language c stable
    as 'MODULE_PATHNAME', 'timeline_wrapper';

-- Returns a snapshot of what others have committed, without this transaction. pg_current_snapshot() shows this
-- transaction as over once a later one is, although it may still write events.
create function herald._committed_by_others() returns pg_snapshot
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
create function herald._last_seq() returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
    return (select case when s.is_called then s.last_value else 0 end from herald.event_seq s);

-- Writes the first window: what it shows is read again, except what is already recorded, and nothing before it. A
-- window that shows nothing says where the worker continues.
create function herald._start_reading(from_snapshot pg_snapshot, floor_seq bigint) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into herald.window (number, origin, slot, state, timeline, from_snapshot, to_snapshot, floor_seq, upper_seq,
                               next_seq, next_floor_seq)
    select 0, herald._origin(), 0, 'open', herald._timeline(), $1, herald._committed_by_others(), $2, n.seq, n.seq, n.seq
    from (select herald._last_seq()) n (seq)
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
    reason constant text := herald._hold_reason();
    running_worker integer;
    is_copy constant boolean := herald._is_copy();
begin
    if mode is null or mode not in ('deliver', 'skip') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown mode "%s"', mode),
            hint = 'It is deliver or skip.';
    end if;
    if reason is null then
        raise exception using errcode = 'object_not_in_prerequisite_state', message = 'the worker is not paused after a restore',
            detail = 'This database is the origin of its log.', hint = 'See: select * from herald.doctor();';
    end if;
    if reason like 'herald.instance%' then
        raise exception using errcode = 'object_not_in_prerequisite_state', message = 'herald.instance holds the worker',
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
    lock table herald.window in access exclusive mode;
    lock table herald.event in share row exclusive mode;
    pending := 0;
    skipped := 0;
    if not is_copy then
        -- Where transaction ids went backwards, a subscription would seem younger than the events written here.
        update herald._subscription s
        set created_xid = '3', created_snapshot = '3:3:'
        where s.removed_at is null
        and greatest(s.created_xid, pg_snapshot_xmax(s.created_snapshot)) > pg_snapshot_xmax(pg_current_snapshot());
    end if;
    update herald._subscription s set disabled_xid = '3' where s.disabled_xid is not null;
    update herald._subscription s set origin = herald._origin() where s.origin <> herald._origin();
    -- What the last reader of each origin had closed. Rows of another origin are complete: a restore contains only
    -- committed rows.
    for old_cursor in
        select o.origin, coalesce(min(o.number) filter (where not o.is_closed), max(o.number) + 1) as first_open
        from (
            select w.origin, w.number,
                   exists (select from herald.window c where c.slot = w.slot and c.number = w.number
                           and c.origin = w.origin and c.state = 'closed') as is_closed
            from herald.window w
            where w.state = 'open' and (w.origin <> herald._origin() or not is_copy)
        ) o
        group by o.origin
    loop
        if mode = 'deliver' then
            with read_to as (
                select w.to_snapshot as snapshot, w.upper_seq
                from herald.window w
                where w.origin = old_cursor.origin and w.state = 'open' and w.number < old_cursor.first_open
                order by w.number desc limit 1
            ), open_events as (
                select e.slot, e.seq, e.type, e.tenant, e.time, s.id as subscription_id
                from herald.event e
                join herald._subscription s on herald._is_for(s, e)
                where e.origin = old_cursor.origin
                -- Higher numbers were not read, whatever their transaction ids look like by now.
                and not coalesce((select e.seq <= r.upper_seq and pg_visible_in_snapshot(e.xid, r.snapshot)
                                  from read_to r), false)
                and not exists (select from herald._attempt a where a.event_seq = e.seq and a.subscription_id = s.id)
                and not exists (select from herald._dead_letter d where d.event_seq = e.seq and d.subscription_id = s.id)
            )
            insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at)
            select o.subscription_id, o.slot, o.seq, clock_timestamp() from open_events o
            on conflict do nothing;
        end if;
    end loop;
    if mode = 'skip' then
        select coalesce(sum(herald._bury_pending(s.id, 'discarded', 'infinity', 'skipped after a restore')), 0) into skipped
        from herald._subscription s;
    else
        pending := (select count(*) from herald.pending);
    end if;
    truncate herald.window;
    perform herald._note_functions(w.id) from herald._watch w;
    perform herald._note_columns(w.id) from herald._watch w;
    if is_copy then
        -- Events from here before the decision belong to no other database: they are read from where this database
        -- began, even those passed by a worker that knew none of these subscriptions.
        perform herald._start_reading('3:3:', 0);
        -- The old database's subscriptions existed before everything that happens here.
        update herald._subscription s
        set created_xid = '3', created_snapshot = '3:3:', created_seq = 0
        where s.removed_at is null;
    else
        perform herald._start_reading(herald._committed_by_others(), herald._last_seq());
    end if;
    perform herald._changed('pending');
    perform herald._want_worker_at_commit();
    return next;
end
$$;

-- How the worker fares, as it last wrote it: at most one row. Settings are stored as hashes.
create table herald._worker (
    only_row boolean primary key default true check (only_row),
    pid integer not null,
    failing jsonb not null,
    last_error text,
    last_error_at timestamptz,
    settings jsonb
);

-- Returns the process of this database's worker. The view pg_stat_activity would read pg_authid, which may be locked.
create function herald._running_worker() returns table (pid integer, activity text, started_at timestamptz)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select a.pid, a.query, a.backend_start from pg_stat_get_activity(null) a
    where a.backend_type = 'pg_herald worker'
    and a.datid = (select d.oid from pg_database d where d.datname = current_database())
    order by a.pid is distinct from herald._worker_pid()
    limit 1
$$;

-- Returns what herald.worker shows, to roles that may read it.
create function herald.__show_worker()
    returns table (pid integer, state text, activity text, started_at timestamptz, backlog bigint, oldest_age interval,
                   dead_letters bigint, inactive_subscriptions bigint, last_error text, last_error_at timestamptz)
    language plpgsql stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not herald.__sees_all('worker') then
        return;
    end if;
    return query
    select r.pid,
           case when r.pid is null and pg_is_in_recovery() then 'standby'
               when r.pid is null then 'stopped'
               when r.activity like 'paused: %' or r.activity = 'herald.enabled is off' then 'paused'
               else 'running' end,
           r.activity, r.started_at, p.backlog, clock_timestamp() - p.oldest,
           (select count(*) from herald._dead_letter),
           (select count(*) from herald._subscription s where s.removed_at is null and s.state <> 'active'),
           w.last_error, w.last_error_at
    from (select count(*) as backlog, min(q.created_at) as oldest from herald.pending q) p
    left join herald._running_worker() r on true
    left join herald._worker w on true;
end
$$;

create function herald._show_worker()
    returns table (pid integer, state text, activity text, started_at timestamptz, backlog bigint, oldest_age interval,
                   dead_letters bigint, inactive_subscriptions bigint, last_error text, last_error_at timestamptz)
    language c stable parallel restricted rows 1
    as 'MODULE_PATHNAME', 'with_rights_wrapper';

create view herald.worker as select * from herald._show_worker();

-- Returns what the worker currently cannot do.
-- Called by doctor(). Reads: herald._worker.
create function herald._doctor_failure() returns table ("check" text, status text, detail text, hint text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select 'failure', 'error',
           format('the worker cannot %s since %s, after %s attempts: %s', f.step,
                  (timestamptz 'epoch' + f.since_micros * interval '1 microsecond')::timestamptz(0), f.times, f.error),
           'It tries again by itself. See the server''s log for the cause.'
    from herald._worker w
    join herald._running_worker() r on r.pid = w.pid
    cross join jsonb_to_recordset(w.failing) as f (step text, since_micros bigint, times integer, error text)
$$;

-- Returns settings that the worker does not use as they are set, and those that could not be read at all.
-- Called by doctor(). Reads: herald._worker.
create function herald._doctor_settings() returns table ("check" text, status text, detail text, hint text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    with other as (
        select string_agg(s.name, ', ' order by s.name) as names
        from herald._worker w
        join herald._running_worker() r on r.pid = w.pid
        cross join jsonb_each_text(w.settings) as x (name, hash)
        join pg_settings s on s.name = x.name
        -- The worker ignores what this session or its role has set for itself.
        where s.source not in ('session', 'client', 'user', 'database user') and md5(s.reset_val) <> x.hash
    )
    select 'settings', case when o.names is null then 'ok' else 'warning' end,
           case when o.names is null then 'the worker goes by what is set'
               else format('the worker does not go by %s as set', o.names) end,
           case when o.names is not null
               then 'It takes over what is set within herald.poll_interval. If not, run: select herald.restart_worker();' end
    from other o
    where exists (select from herald._running_worker())
    union all
    select 'settings', 'error', format('%s, line %s: %s is not taken over: %s', f.sourcefile, f.sourceline, f.name, f.error),
           'Correct it, and run: select pg_reload_conf();'
    from pg_file_settings f
    where f.name like 'herald.%' and f.error is not null
$$;
