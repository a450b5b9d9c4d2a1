-- Starts and stops the worker.

create function herald_internal.want_worker(wanted boolean) returns boolean
    language c volatile
    as 'MODULE_PATHNAME', 'want_worker_wrapper';

-- Does what start_worker() and restart_worker() do on a standby: the launcher, which begins at the promotion, will
-- start a worker that somebody stopped.
create function herald_internal.wait_for_promotion() returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform herald_internal.want_worker(true);
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
        return herald_internal.wait_for_promotion();
    end if;
    if not herald_internal.is_preloaded() then
        raise warning using
            message = 'the worker runs until the server restarts, and looks for work only every herald.poll_interval',
            detail = 'pg_herald is not in shared_preload_libraries.',
            hint = 'Add pg_herald to shared_preload_libraries in postgresql.conf and restart the server.';
    end if;
    -- A server that has just started may not have reached the launcher yet.
    loop
        exit when herald_internal.want_worker(true);
        if clock_timestamp() > until then
            raise exception using errcode = 'insufficient_resources', message = 'the worker cannot be started',
                detail = 'No background worker slot is free.',
                hint = format('Raise max_worker_processes (now %s) and restart the server.',
                              current_setting('max_worker_processes'));
        end if;
        perform pg_sleep(0.01);
    end loop;
    return 'starting';
end
$$;

-- Returns the last death of this database's worker, unless it was long ago: how many deaths there were in a row, the
-- step, how many deliveries were under way, and one of them, whose subscription is null if the event alone is the
-- cause. No row if the worker did not die.
create function herald_internal.last_death()
    returns table (deaths integer, died_at timestamptz, starts_at timestamptz, step text, deliveries integer,
                   event_slot smallint, event_seq bigint, subscription_id bigint)
    language c volatile
    as 'MODULE_PATHNAME', 'last_death_wrapper';

-- What doctor() says of the deaths of the worker.
-- Called by doctor(). Reads: herald.event, herald_internal.subscription.
create function herald_internal.doctor_death() returns table ("check" text, status text, detail text, hint text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select 'death', case when w.is_waiting then 'error' else 'warning' end,
           format('the worker died %s times in a row, the last time at %s in the step "%s"',
                  d.deaths, d.died_at::timestamptz(0), d.step)
           || case when d.deliveries > 0 then format(' with %s deliveries', d.deliveries) else '' end
           || case when d.event_seq is null then ''
                  else format(', %sevent %s', case when d.deliveries > 1 then 'among them ' end,
                              coalesce(e.uid::text, format('%s of slot %s', d.event_seq, d.event_slot)))
                      || coalesce(' to subscription '
                                  || coalesce('"' || s.name || '"', d.subscription_id::text), '') end
           || case when w.is_waiting then format('; it starts again at %s', d.starts_at::timestamptz(0)) else '' end,
           case when w.is_waiting then 'Run: select herald.start_worker(); to start it now. '
               else 'Its deliveries are sent one at a time, and what kills the worker again becomes a dead letter. ' end
           || 'See the server''s log for the cause, and report it.'
    from herald_internal.last_death() d
    left join herald_internal.subscription s on s.id = d.subscription_id
    left join lateral (select e.uid from herald.event e where e.slot = d.event_slot and e.seq = d.event_seq) e on true
    cross join lateral (
        select coalesce(d.starts_at > clock_timestamp(), false) and herald_internal.worker_pid() is null
    ) w (is_waiting)
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
    perform herald_internal.check_span('timeout', timeout, '0', '1 day', 'Leave it out for 10 s.');
    until := clock_timestamp() + coalesce(timeout, '10 s');
    perform herald_internal.want_worker(false);
    if not herald_internal.is_preloaded() then
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

create function herald_internal.want_worker_afterwards() returns void
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
        return herald_internal.wait_for_promotion();
    end if;
    perform herald.stop_worker();
    if not herald_internal.is_preloaded() then
        return herald.start_worker();
    end if;
    -- Not earlier: a setting that this transaction changes would be missing.
    perform herald_internal.want_worker_afterwards();
    return 'starting';
end
$$;
