-- doctor(): a check for every known problem.

create function herald_internal.worker_pid() returns integer
    language c volatile
    as 'MODULE_PATHNAME', 'worker_pid_wrapper';

create function herald_internal.is_preloaded() returns boolean
    language c stable
    as 'MODULE_PATHNAME', 'is_preloaded_wrapper';

create function herald_internal.found_no_worker_slot() returns boolean
    language c volatile
    as 'MODULE_PATHNAME', 'found_no_worker_slot_wrapper';

create function herald_internal.library_version() returns text
    language c stable
    as 'MODULE_PATHNAME', 'library_version_wrapper';

-- Each check returns the rows that doctor() shows for it.

create function herald_internal.doctor_preload() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select
        'preload', case when herald_internal.is_preloaded() then 'ok' else 'warning' end,
        case when herald_internal.is_preloaded() then 'shared_preload_libraries has pg_herald'
            else 'commits do not wake the worker, and it does not start with the server' end,
        case when not herald_internal.is_preloaded()
            then 'Add pg_herald to shared_preload_libraries in postgresql.conf and restart the server.' end
$$;

create function herald_internal.doctor_worker() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select
        'worker', case when w.pid is null and not pg_is_in_recovery() then 'error' else 'ok' end,
        case when w.pid is not null then format('runs as process %s', w.pid)
            when pg_is_in_recovery() then 'waits for the promotion of this standby'
            when herald_internal.found_no_worker_slot() then 'no background worker slot is free'
            else 'does not run' end,
        case when w.pid is not null or pg_is_in_recovery() then null
            when herald_internal.found_no_worker_slot()
                then format('Raise max_worker_processes (now %s) and restart the server.',
                            current_setting('max_worker_processes'))
            else 'Run: select herald.start_worker();' end
    from (select (select r.pid from herald_internal.running_worker() r) as pid) w
$$;

create function herald_internal.doctor_version() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select
        'version', case when x.extversion = herald_internal.library_version() then 'ok' else 'error' end,
        format('extension %s, library %s', x.extversion, herald_internal.library_version()),
        case when x.extversion <> herald_internal.library_version()
            then 'Run: alter extension pg_herald update; then restart the server.' end
    from pg_extension x
    where x.extname = 'pg_herald'
$$;

create function herald_internal.doctor_enabled() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'enabled', case when s.setting::boolean then 'ok' else 'warning' end,
           format('herald.enabled is %s (%s)', s.setting, s.source),
           case when s.setting::boolean then null
               when s.source in ('database', 'database user', 'user')
                   then format('Run: alter database %I set herald.enabled = on; select herald.restart_worker();',
                               current_database())
               when s.source = 'session'
                   then 'It is off in this session only, where it has no effect. Run: reset herald.enabled;'
               else 'Run: alter system set herald.enabled = on; select pg_reload_conf();' end
    from pg_settings s
    where s.name = 'herald.enabled'
$$;

create function herald_internal.doctor_origin() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'origin', case when h.reason is null then 'ok' else 'error' end,
           coalesce(h.reason, 'this database is where its log was written'),
           case when h.reason like 'herald.instance%'
                   then 'Set herald.instance to the cluster_name of this cluster, or reset it.'
               when h.reason is not null
                   then 'Decide, then run: select * from herald.resume_after_restore(''deliver'') or (''skip'');' end
    from (select herald_internal.hold_reason() as reason) h
$$;

create function herald_internal.doctor_obstacle() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'subscription', 'error', format('cannot send to subscription "%s": %s', s.name, o.obstacle),
           case when o.obstacle like '%rotate_secret%' then format('Run: select herald.rotate_secret(%L);', s.name)
               when gone.option is not null
                   then format('Run: update herald.subscription set %s = ''{...}'' where name = %L;',
                               gone.option, s.name)
               else 'Fix this; its deliveries are held until then.' end
    from herald_internal.obstacles() o
    join herald_internal.subscription s on s.id = o.subscription_id
    left join lateral (
        select substring(o.obstacle from '^the values of its (headers|secrets|tls|auth) are gone') as option
    ) gone on true
$$;

-- Whether secrets are sealed with the current key.
create function herald_internal.doctor_secret_key() returns table ("check" text, status text, detail text, hint text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    current_key text;
    others bigint;
begin
    begin
        current_key := herald_internal.secret_key_id();
    exception when config_file_error then
        get stacked diagnostics detail = pg_exception_detail, hint = pg_exception_hint;
        return query values ('secret_key', 'error', detail, hint);
        return;
    end;
    select count(*) into others from herald.secret x where x.key_id is distinct from current_key;
    return query values (
        'secret_key', case when current_key is null or others = 0 then 'ok' else 'warning' end,
        case when current_key is null then 'secrets are not sealed: herald.secret_key_file is not set'
            when others = 0 then 'secrets are sealed'
            else format('%s secrets are not sealed with the current key', others) end,
        case when current_key is not null and others > 0 then 'Run: select herald.reencrypt_secrets();' end);
end
$$;

-- Whether secrets leave the server by logical replication: a publication of all tables includes those of extensions.
create function herald_internal.doctor_publication() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'publication', case when p.has_secrets and u.exists then 'error' else 'warning' end,
           format('publication "%s" publishes the tables of pg_herald', p.pubname)
           || case when p.has_secrets and u.exists then ', and with them secrets in clear' else '' end,
           'Publish schemas instead: create publication ... for tables in schema public;'
           || case when p.has_secrets and u.exists
               then ' Set herald.secret_key_file, run herald.reencrypt_secrets(), '
                    'and exchange the secrets that subscribers have seen.'
               else '' end
    from herald_internal.publications() p
    cross join (select exists (select from herald.secret x where x.key_id is null)) u
$$;

create function herald_internal.doctor_quota() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'quota', 'warning',
           format('tenant "%s" has used its %s events of this month; further deliveries are %s', q.tenant,
                  q.events_per_month, case q.over_quota when 'throttled' then 'held' else 'given up' end),
           format('Wait for the next month, or run: update herald.tenant set plan = ... where name = %L;', q.tenant)
    from herald_internal.over_quota q
$$;

-- Returns tenants whose role is missing, since a restore or since it was dropped, and subscriptions whose tenant is
-- missing.
create function herald_internal.doctor_tenant() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'tenant', 'error',
           format('%s, so nothing is sent to its subscriptions', herald_internal.tenant_obstacle(n.tenant)),
           case when t.name is null
               then format('Run: insert into herald.tenant (name, role) values (%L, ...);', n.tenant)
               else format('Run: update herald.tenant set role = ... where name = %L;', n.tenant) end
    from (
        select t.name as tenant from herald.tenant t
        union
        select s.tenant from herald_internal.subscription s where s.is_tenants and s.removed_at is null
    ) n
    left join herald.tenant t on t.name = n.tenant
    where herald_internal.tenant_obstacle(n.tenant) is not null
    order by n.tenant
$$;

create function herald_internal.doctor_subscription() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'subscription', 'warning',
           format('subscription "%s" is %s since %s: %s', s.name, s.state, s.state_changed_at, s.state_reason),
           case s.state
               when 'sandbox'
                   then format('Run: update herald.subscription set state = ''active'' where name = %L;', s.name)
               else format('Run: select * from herald.resume(%L);', s.name) end
    from herald_internal.subscription s
    where s.removed_at is null and s.state <> 'active'
$$;

create function herald_internal.doctor_trigger() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'trigger', 'warning',
           format('trigger %s on %s is disabled, so its changes are not captured', t.tgname, t.tgrelid::regclass),
           format('Run: alter table %s enable trigger %I;', t.tgrelid::regclass, t.tgname)
    from pg_trigger t
    where t.tgfoid = 'herald_internal.capture()'::regprocedure and t.tgenabled not in ('O', 'A')
    union all
    select 'trigger', 'error',
           format('watch "%s" on %s has no trigger for %s on %s',
                  w.name, w.table_name, t.operation, t.table_oid::regclass)
           || case when t.is_for_each_row then ' that fires for each row' else '' end,
           format('Run: select * from herald.watch(%L, %L);', w.table_name, w.name)
    from herald_internal.watch w
    cross join lateral herald_internal.missing_triggers(w) t
    union all
    select 'trigger', 'warning',
           format('trigger %s on %s belongs to no watch of this table, so it captures nothing',
                  s.name, s.table_oid::regclass),
           format('If %s is to be captured, run: select * from herald.watch(%1$L); if not: drop trigger %I on %1$s;',
                  s.table_oid::regclass, s.name)
    from herald_internal.stray_triggers() s
$$;

-- Returns watches whose table was renamed since watch() was last called: subscribers do not know the new type of its
-- events, and a table that took its name is not captured.
create function herald_internal.doctor_renamed() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'renamed', 'warning',
           format('watch "%s" was made for %s, which is now called %s', w.name, w.known_as, n.now_known_as)
           || case when to_regclass(w.known_as) is not null
               then format('; another table is %s now, and is not captured by it', w.known_as)
               else '' end
           || case when w.type is null then '; its events have types of the new name' else '' end,
           case when to_regclass(w.known_as) is not null
               then format('To capture that table, run: select * from herald.watch(%L, %L); ', w.known_as, w.name)
               else '' end
           || format('To go on with %s, run: select * from herald.watch(%1$L, %L);', n.now_known_as, w.name)
    from herald_internal.watch w
    cross join lateral (
        select format('%I.%I', s.nspname, c.relname) as now_known_as
        from pg_class c join pg_namespace s on s.oid = c.relnamespace
        where c.oid = w.table_name) n
    where n.now_known_as <> w.known_as
    order by w.id
$$;

-- Returns watches that miss what logical replication writes to their tables.
create function herald_internal.doctor_replicated() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'replicated', 'warning',
           format('watch "%s" on %s does not capture what subscription "%s" writes',
                  w.name, w.table_name, herald_internal.replicated_by(w.table_name)),
           format('If the publisher does not send these events: '
                  'select * from herald.watch(%L, %L, replicated => true);',
                  w.table_name, w.name)
    from herald_internal.watch w
    where not w.replicated and herald_internal.replicated_by(w.table_name) is not null
    order by w.id
$$;

create function herald_internal.doctor_capture() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'capture', 'warning',
           format('herald.capture is off for %s', coalesce('role ' || r.rolname, 'database ' || d.datname, 'all')),
           'Changes made with it off are not captured. Reset it when the bulk load is done.'
    from pg_db_role_setting s
    left join pg_roles r on r.oid = s.setrole
    left join pg_database d on d.oid = s.setdatabase
    cross join unnest(s.setconfig) c
    where lower(c) in ('herald.capture=off', 'herald.capture=false', 'herald.capture=no', 'herald.capture=0')
    union all
    select 'session_replication_role', 'warning', 'it is replica in this session: triggers do not fire',
           'Changes made in this session are not captured.'
    where current_setting('session_replication_role') = 'replica'
$$;

-- Returns open transactions with locks for which the worker, or a change of a subscription, waits.
create function herald_internal.doctor_lock() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'lock', 'warning',
           format('%s has held locks on %s since %s',
                  case when l.pid is null then format('prepared transaction "%s"', x.gid)
                      else format('process %s (%s of role %s)', l.pid,
                                  coalesce(nullif(a.application_name, ''), 'no application_name'), a.usename) end,
                  string_agg(distinct coalesce(l.relation::regclass::text, 'reading the log'), ', '),
                  date_trunc('second', coalesce(min(a.xact_start), min(x.prepared)))),
           case when l.pid is null then format('End it: commit prepared %L; or rollback prepared %1$L;', x.gid)
               else format('Let it end its transaction, or run: select pg_terminate_backend(%s);', l.pid) end
    from pg_locks l
    left join pg_stat_activity a on a.pid = l.pid
    left join pg_prepared_xacts x on l.pid is null and x.transaction::text = split_part(l.virtualtransaction, '/', 2)
    where l.granted and l.mode not in ('AccessShareLock', 'ShareUpdateExclusiveLock')
    and l.pid is distinct from pg_backend_pid() and l.pid is distinct from herald_internal.worker_pid()
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
    and (l.locktype = 'relation'
         and l.relation = any ('{herald.pending,herald_internal.dead_letter,herald_internal.subscription,
             herald_internal.config_change,herald.tenant,herald_internal.usage}'::regclass[])
        -- Held by a subscription with start_from that is being committed, see keep_from_reading().
        or l.locktype = 'object' and l.classid = 'pg_extension'::regclass and l.objsubid = 26725)
    and coalesce(a.xact_start, x.prepared) < clock_timestamp() - interval '1 second'
    group by l.pid, x.gid, a.application_name, a.usename
    order by min(coalesce(a.xact_start, x.prepared))
    limit 10
$$;

create function herald_internal.doctor_lag() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'lag', case when p.oldest < clock_timestamp() - interval '1 hour' then 'warning' else 'ok' end,
           format('%s deliveries pending%s', p.backlog, coalesce(', the oldest since ' || p.oldest, '')),
           case when p.oldest < clock_timestamp() - interval '1 hour' then 'See: select * from herald.status();' end
    from (select count(*) as backlog, min(q.created_at) filter (where q.deliver_at is null) as oldest
          from herald.pending q) p
$$;

create function herald_internal.doctor_log() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'log', case when u.oldest < clock_timestamp() - interval '5 minutes' then 'warning' else 'ok' end,
           coalesce('the oldest event that was not read is of ' || u.oldest, 'everything was read'),
           case when u.oldest < clock_timestamp() - interval '5 minutes'
               then 'See the checks worker, enabled and origin, and the server''s log.' end
    from (
        select (select herald_internal.recorded_at(e.uid)
                from herald.event e
                where e.seq > c.seq and e.origin = herald_internal.origin()
                and not pg_visible_in_snapshot(e.xid, c.snapshot)
                order by e.seq limit 1) as oldest
        from herald_internal.cursor() c
    ) u
$$;

-- Checks for every known problem. A failed check is a row like others, and none waits long for a lock: if a lock is not
-- free within 100 ms, its holder is named, and later checks wait a millisecond.
create function herald_internal._doctor()
    returns table ("check" text, status text, detail text, hint text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '100ms'
as $$
#variable_conflict use_column
declare
    checks constant text[] := '{
        preload,worker,death,failure,version,enabled,settings,origin,obstacle,secret_key,publication,quota,tenant,
        subscription,breaker,failing,dead_letters,types,filter,trigger,renamed,replicated,capture,lock,lag,log,ring}';
    current_check text;
    is_blocked boolean := false;
begin
    foreach current_check in array checks loop
        begin
            return query execute format('select c.* from herald_internal.doctor_%s() c', current_check);
        exception
            when lock_not_available then
                if not is_blocked then
                    is_blocked := true;
                    perform set_config('lock_timeout', '1ms', true);
                    return query
                    select 'lock', 'error', b.words,
                           format('Let it end its transaction, or run: select pg_terminate_backend(%s);', b.pid)
                    from herald_internal.blockers() b;
                end if;
                return query values (current_check, 'unknown', 'a lock was in the way', 'Ask again when it is gone.');
            when others then
                return query values (current_check, 'error', format('this check failed: %s', sqlerrm),
                                     'See the server''s log.');
        end;
    end loop;
exception when others then
    return query values ('doctor', 'error', sqlerrm, 'Ask again.');
end
$$;

create function herald.doctor() returns table ("check" text, status text, detail text, hint text)
    language c
    set lock_timeout = '100ms'
    as 'MODULE_PATHNAME', 'answer_soon_wrapper';
