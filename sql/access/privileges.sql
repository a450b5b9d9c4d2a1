-- The first window of the log, what pg_dump includes, nothing for PUBLIC, and statistics for pg_monitor.

do $$
begin
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception using
            errcode = 'feature_not_supported',
            message = 'pg_herald needs a database with the encoding UTF8',
            detail = format('This database has %s; events are JSON, which is UTF-8.',
                            current_setting('server_encoding')),
            hint = 'Create the database with: create database ... encoding ''UTF8'' template template0;';
    end if;
    if not herald_internal.is_preloaded() then
        raise warning using
            message = 'pg_herald is not preloaded, so nothing is sent until herald.start_worker() is called',
            hint = 'Add pg_herald to shared_preload_libraries in postgresql.conf and restart the server.';
    end if;
end
$$;

-- Reading starts with the first event. It does not start at this transaction's own snapshot, which shows the
-- transaction as over although it may still write events.
insert into herald_internal.window (
    number, origin, slot, state, from_snapshot, to_snapshot, floor_seq, upper_seq, next_seq, next_floor_seq)
values (0, herald_internal.origin(), 0, 'open', '3:3:', '3:3:', 0, 0, 0, 0);
insert into herald_internal.window (number, origin, slot, state) values (0, herald_internal.origin(), 0, 'closed');

-- Dumps everything but secrets, the periods of the rings and what only concerns the running worker.
do $$
declare
    relation regclass;
begin
    for relation in
        select c.oid
        from pg_class c
        where c.relnamespace = any ('{herald,herald_internal}'::regnamespace[])
        and c.relkind in ('r', 'S')
        and c.relname not in (
            'secret', 'ring', 'config_change', 'starting', 'plan', 'worker', 'type', 'breaker', 'uptime',
            'former_match', 'former_match_id_seq')
    loop
        perform pg_extension_config_dump(relation, '');
    end loop;
    -- The other plans come with the extension.
    perform pg_extension_config_dump('herald.plan',
                                     'where name not in (''starter'', ''professional'', ''enterprise'')');
end
$$;

-- With a publication of all tables, PostgreSQL refuses to update or delete rows that subscribers cannot identify.
alter table herald.secret replica identity full;
alter table herald_internal.config_change replica identity full;
alter table herald.audit replica identity full;

-- No function is compiled just in time: to compile a plan over all slots takes seconds, in which a session cannot be
-- cancelled, and the caller's settings decide whether it comes to that.
do $$
declare
    made regprocedure;
begin
    for made in
        select p.oid
        from pg_proc p
        join pg_language l on l.oid = p.prolang
        where p.pronamespace = any ('{herald,herald_internal}'::regnamespace[])
        and l.lanname in ('plpgsql', 'sql')
        -- One without settings is inlined.
        and p.proconfig is not null
    loop
        execute format('alter function %s set jit = off', made);
    end loop;
end
$$;

revoke all on schema herald, herald_internal, herald_watch from public;
revoke all on all tables in schema herald, herald_internal from public;
revoke all on all sequences in schema herald, herald_internal from public;
revoke all on all functions in schema herald, herald_internal from public;

-- Views call these with the rights of the querying role. A tenant's role gets its own data, a reader what it may see,
-- others nothing.
grant execute on function
    herald_internal.sees_all, herald_internal.own_usage, herald_internal.own_subscription, herald_internal.own_attempt,
    herald_internal.own_delivery, herald_internal.own_dead_letter, herald_internal.own_blocked_key,
    herald_internal.own_subscription_stats,
    herald_internal.expressions_of_watches, herald_internal.show_worker, herald_internal.readable_options
to public;

grant usage on schema herald, herald_internal to pg_monitor;
grant select on herald.subscription_stats, herald.worker to pg_monitor;
grant execute on function herald.status(), herald.doctor() to pg_monitor;

select herald_internal.want_worker_at_commit();
