-- What the worker says of itself.

-- How the worker fares, as it last wrote it: at most one row. Settings are stored as hashes.
create table herald_internal.worker (
    only_row boolean primary key default true check (only_row),
    pid integer not null,
    failing jsonb not null,
    last_error text,
    last_error_at timestamptz,
    settings jsonb
);

-- Returns the process of this database's worker. The view pg_stat_activity would read pg_authid, which may be locked.
create function herald_internal.running_worker() returns table (pid integer, activity text, started_at timestamptz)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select a.pid, a.query, a.backend_start from pg_stat_get_activity(null) a
    where a.backend_type = 'pg_herald worker'
    and a.datid = (select d.oid from pg_database d where d.datname = current_database())
    order by a.pid is distinct from herald_internal.worker_pid()
    limit 1
$$;

-- Returns what herald.worker shows, to roles that may read it.
create function herald_internal._show_worker()
    returns table (pid integer, state text, activity text, started_at timestamptz, backlog bigint, oldest_age interval,
                   dead_letters bigint, inactive_subscriptions bigint, last_error text, last_error_at timestamptz)
    language plpgsql stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not herald_internal._sees_all('worker') then
        return;
    end if;
    return query
    select r.pid,
           case when r.pid is null and pg_is_in_recovery() then 'standby'
               when r.pid is null then 'stopped'
               when r.activity like 'paused: %' or r.activity = 'herald.enabled is off' then 'paused'
               else 'running' end,
           r.activity, r.started_at, p.backlog, clock_timestamp() - p.oldest,
           (select count(*) from herald_internal.dead_letter),
           (select count(*) from herald_internal.subscription s where s.removed_at is null and s.state <> 'active'),
           w.last_error, w.last_error_at
    from (select count(*) as backlog, min(q.created_at) filter (where q.deliver_at is null) as oldest
          from herald.pending q) p
    left join herald_internal.running_worker() r on true
    left join herald_internal.worker w on true;
end
$$;

create function herald_internal.show_worker()
    returns table (pid integer, state text, activity text, started_at timestamptz, backlog bigint, oldest_age interval,
                   dead_letters bigint, inactive_subscriptions bigint, last_error text, last_error_at timestamptz)
    language c stable parallel restricted rows 1
    as 'MODULE_PATHNAME', 'with_rights_wrapper';

create view herald.worker as select * from herald_internal.show_worker();

-- Returns what the worker currently cannot do.
-- Called by doctor(). Reads: herald_internal.worker.
create function herald_internal.doctor_failure() returns table ("check" text, status text, detail text, hint text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select 'failure', 'error',
           format('the worker cannot %s since %s, after %s attempts: %s', f.step,
                  (timestamptz 'epoch' + f.since_micros * interval '1 microsecond')::timestamptz(0), f.times, f.error),
           'It tries again by itself. See the server''s log for the cause.'
    from herald_internal.worker w
    join herald_internal.running_worker() r on r.pid = w.pid
    cross join jsonb_to_recordset(w.failing) as f (step text, since_micros bigint, times integer, error text)
$$;

-- Returns settings that the worker does not use as they are set, and those that could not be read at all.
-- Called by doctor(). Reads: herald_internal.worker.
create function herald_internal.doctor_settings() returns table ("check" text, status text, detail text, hint text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    with other as (
        select string_agg(s.name, ', ' order by s.name) as names
        from herald_internal.worker w
        join herald_internal.running_worker() r on r.pid = w.pid
        cross join jsonb_each_text(w.settings) as x (name, hash)
        join pg_settings s on s.name = x.name
        -- The worker ignores what this session or its role has set for itself.
        where s.source not in ('session', 'client', 'user', 'database user') and md5(s.reset_val) <> x.hash
    )
    select 'settings', case when o.names is null then 'ok' else 'warning' end,
           case when o.names is null then 'the worker goes by what is set'
               else format('the worker does not use the current value of %s', o.names) end,
           case when o.names is not null
               then 'It takes over what is set within herald.poll_interval. '
                    'If not, run: select herald.restart_worker();' end
    from other o
    where exists (select from herald_internal.running_worker())
    union all
    select 'settings', 'error',
           format('%s, line %s: %s is not taken over: %s', f.sourcefile, f.sourceline, f.name, f.error),
           'Correct it, and run: select pg_reload_conf();'
    from pg_file_settings f
    where f.name like 'herald.%' and f.error is not null
$$;

-- Notes since when the breakers of these subscriptions are open; null if they are closed.
-- Called by the worker. Writes: herald_internal.breaker.
create function herald_internal.note_breakers(subscription_ids bigint[], since_micros bigint[], failures text[])
    returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    delete from herald_internal.breaker b
    using unnest(subscription_ids, since_micros) as t (id, since)
    where b.subscription_id = t.id and t.since is null;
    insert into herald_internal.breaker as b (subscription_id, opened_at, failure)
    select s.id, to_timestamp(t.since / 1000000.0), left(t.failure, 1000)
    from unnest(subscription_ids, since_micros, failures) as t (id, since, failure)
    join herald_internal.subscription s on s.id = t.id
    where t.since is not null and s.removed_at is null and s.state <> 'disabled'
    on conflict (subscription_id) do update
    set opened_at = excluded.opened_at, failed_at = excluded.failed_at, failure = excluded.failure;
$$;
