-- Insight: what happened, what waits, and why.

-- Subscriptions as their users see them. INSERT is refused, UPDATE is checked, DELETE unsubscribes.
create view herald.subscription with (security_barrier) as
select
    s.id, s.name, s.state, s.state_reason, s.url, s.types, s.tenant,
    (select jsonb_object_agg(h, '***') from pg_catalog.unnest(s.header_names) h where h is not null) as headers,
    s.method, s.format, s.template, s.content_type, s.profile, s.shrink, s.compression, s.user_agent, s.signing, s.auth,
    s.handshake, s.consented_at, s.consent_rate, s.consent_error,
    (select jsonb_object_agg(t, '***') from pg_catalog.unnest(s.tls_names) t where t is not null) as tls,
    s.timeout, s.retry_schedule, s.retry_jitter, s.max_attempts, s.success, s.retry_on, s.timeout_delay,
    s.retry_duration, s.max_concurrency, s.max_payload, s.max_age, s.max_backlog,
    s.dead_letter_retention, s.description, s.created_at, s.changed_at, s.state_changed_at
from herald._subscription s
where s.removed_at is null
and case when (select m.tenants from herald._mine m) is null
    then (select r.is_readable from herald._readable r where r.name = 'subscription')
    else s.tenant = any ((select m.tenants from herald._mine m)::text[]) end;

create function herald._write_subscription() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry herald._subscription;
    changed text;
begin
    if tg_op = 'INSERT' then
        raise exception using
            errcode = 'feature_not_supported',
            message = 'herald.subscription takes no INSERT',
            detail = 'A subscription gets a secret when it is created, which is shown once.',
            hint = format('Run: select * from herald.subscribe(%L, url => %L);', coalesce(new.name, 'name'), coalesce(new.url, 'https://...'));
    elsif tg_op = 'DELETE' then
        perform herald._unsubscribe(old.name);
        return old;
    end if;
    select n.key into changed
    from jsonb_each(to_jsonb(new)) n
    join jsonb_each(to_jsonb(old)) o using (key)
    where n.value is distinct from o.value
    and n.key in ('id', 'state_reason', 'created_at', 'changed_at', 'state_changed_at', 'consented_at', 'consent_rate', 'consent_error')
    limit 1;
    if found then
        raise exception using errcode = 'feature_not_supported', message = format('%s cannot be changed', changed),
            hint = 'Change name, url, types, tenant, headers, tls, options or state.';
    end if;
    select s.* into entry from herald._subscription s where s.id = old.id for update;
    entry.url := new.url;
    entry.types := new.types;
    entry.tenant := new.tenant;
    entry.method := new.method;
    entry.format := new.format;
    entry.template := new.template;
    entry.content_type := new.content_type;
    entry.profile := new.profile;
    entry.shrink := new.shrink;
    entry.compression := new.compression;
    entry.user_agent := new.user_agent;
    entry.signing := new.signing;
    entry.handshake := new.handshake;
    entry.timeout := new.timeout;
    entry.retry_schedule := new.retry_schedule;
    entry.retry_jitter := new.retry_jitter;
    entry.max_attempts := new.max_attempts;
    entry.success := new.success;
    entry.retry_on := new.retry_on;
    entry.timeout_delay := new.timeout_delay;
    entry.retry_duration := new.retry_duration;
    entry.max_backlog := new.max_backlog;
    entry.max_concurrency := new.max_concurrency;
    entry.max_payload := new.max_payload;
    entry.max_age := new.max_age;
    entry.dead_letter_retention := new.dead_letter_retention;
    entry.description := new.description;
    if new.name is distinct from old.name then
        perform herald._check_name_of_tenant(new.name, new.tenant);
        if exists (select from herald._subscription s where s.name = new.name and s.removed_at is null) then
            raise exception using errcode = 'unique_violation', message = format('subscription "%s" exists', new.name),
                hint = 'Choose another name.';
        end if;
        update herald._subscription s set name = new.name where s.id = old.id;
        entry.name := new.name;
    end if;
    perform herald._save_subscription(
        entry, case when new.headers is distinct from old.headers then coalesce(new.headers, '{}') end,
        case when new.tls is distinct from old.tls then coalesce(new.tls, '{}') end,
        case when new.auth is distinct from old.auth then coalesce(new.auth, '{}') end, null, false);
    if new.state is distinct from old.state then
        if new.state = 'active' then
            perform herald._resume(entry.name);
        elsif new.state = 'paused' then
            perform herald._pause(entry.name);
        elsif new.state = 'sandbox' then
            perform herald._set_state(entry, 'sandbox', format('made a sandbox by %s', herald._caller()));
        else
            raise exception using errcode = 'invalid_parameter_value', message = format('state cannot be set to "%s"', new.state),
                detail = 'A subscription is disabled by its receiver.', hint = 'Set it to active, paused or sandbox.';
        end if;
    end if;
    return new;
end
$$;

create trigger write instead of insert or update or delete on herald.subscription
    for each row execute function herald._write_subscription();

-- The views below are asked before anybody has analysed a slot, and of slots with millions of rows. So they join whole
-- rings, which the planner may do by hash or by index, and look nothing up for each row: it takes a look-up that could go
-- to 32 slots for so dear that it compiles the whole query (JIT), which takes seconds.

-- Every HTTP request that was made, with its outcome.
create view herald.attempt with (security_barrier) as
select
    coalesce(e.id, e.uid::text, h.id, h.uid::text) as event_id, coalesce(e.type, h.type) as type, s.name as subscription,
    a.attempt, a.at, a.status_code, a.outcome, a.error_class, a.error, a.duration_ms, a.response, a.event_seq,
    a.subscription_id
from herald._attempt a
join herald._subscription s on s.id = a.subscription_id
left join herald.event e on e.slot = a.event_slot and e.seq = a.event_seq
left join herald.held_event h on h.seq = a.event_seq
where case when (select m.tenants from herald._mine m) is null
    then (select r.is_readable from herald._readable r where r.name = 'attempt')
    else s.tenant = any ((select m.tenants from herald._mine m)::text[]) end;

-- One row for each event and subscription: where its delivery stands.
create view herald.delivery with (security_barrier) as
select
    pg_catalog.format('%s/%s', d.subscription_id, d.event_seq) as delivery_id,
    coalesce(e.id, e.uid::text, h.id, h.uid::text, d.event_id) as event_id, coalesce(e.type, h.type, d.type) as type,
    s.name as subscription, s.url, d.state, d.status_code, d.attempts, d.duration_ms, d.error_class,
    coalesce(d.created_at, e.time, h.time) as created_at, d.at, d.next_attempt_at, d.event_seq, d.subscription_id
from (
    select
        a.subscription_id, a.event_seq, a.event_slot, null::text as event_id, null::text as type, 'delivered' as state,
        a.status_code::integer as status_code, a.attempt as attempts, a.duration_ms, a.error_class,
        null::timestamptz as created_at, a.at, null::timestamptz as next_attempt_at
    from herald._attempt a
    -- Those that are delivered; in these words, a planner that knows nothing takes them for most.
    where a.outcome not in ('retrying', 'dead')
    and not exists (
        select from herald._attempt b
        where b.event_seq = a.event_seq and b.subscription_id = a.subscription_id and (b.at, b.attempt) > (a.at, a.attempt))
    and not exists (
        select from herald.pending p where p.event_seq = a.event_seq and p.subscription_id = a.subscription_id)
    union all
    select
        p.subscription_id, p.event_seq, p.event_slot, null, null,
        case
            when s.state not in ('active', 'sandbox') or s.tenant in (select u.tenant from herald._over_quota u where u.over_quota = 'throttled') then 'held'
            when p.attempts > 0 then 'retrying'
            else 'pending'
        end,
        p.status_code, p.attempts, p.duration_ms, p.error_class, p.created_at, p.last_attempt_at, p.next_attempt_at
    from herald.pending p
    join herald._subscription s on s.id = p.subscription_id
    union all
    select
        l.subscription_id, l.event_seq, l.event_slot, l.event_id, l.type, 'dead',
        (l.attempt_log -> -1 ->> 'status_code')::integer, l.attempts, (l.attempt_log -> -1 ->> 'duration_ms')::real,
        l.attempt_log -> -1 ->> 'error_class', l.created_at, coalesce(l.last_attempt_at, l.failed_at), null
    from herald._dead_letter l
) d
join herald._subscription s on s.id = d.subscription_id
left join herald.event e on e.slot = d.event_slot and e.seq = d.event_seq
left join herald.held_event h on h.seq = d.event_seq
where case when (select m.tenants from herald._mine m) is null
    then (select r.is_readable from herald._readable r where r.name = 'delivery')
    else s.tenant = any ((select m.tenants from herald._mine m)::text[]) end;

-- Deliveries that were given up.
create view herald.dead_letter with (security_barrier) as
select l.*
from herald._dead_letter l
where case when (select m.tenants from herald._mine m) is null
    then (select r.is_readable from herald._readable r where r.name = 'dead_letter')
    else l.subscription_id in (select s.id from herald._subscription s
                               where s.tenant = any ((select m.tenants from herald._mine m)::text[])) end;

-- Each subscription in numbers, of the last hour.
create view herald.subscription_stats with (security_barrier) as
select
    s.name as subscription, s.state, coalesce(h.attempts, 0) as attempts_1h, coalesce(h.delivered, 0) as delivered_1h,
    coalesce(h.failed, 0) as failed_1h,
    case when h.attempts > 0 then pg_catalog.round(h.delivered::numeric / h.attempts, 4) end as success_rate_1h,
    h.p50_ms, h.p95_ms, h.p99_ms, h.last_success_at, h.last_error_at, h.last_error,
    b.backlog, b.oldest_at as oldest_pending_at, pg_catalog.clock_timestamp() - b.oldest_at as lag,
    (select count(*) from herald._dead_letter d where d.subscription_id = s.id) as dead_letters
from herald._subscription s
-- The hour is read once for all. Its beginning must not change while it is read, or no index is of use.
left join (
    select
        a.subscription_id,
        count(*) as attempts,
        count(*) filter (where a.outcome = 'delivered') as delivered,
        count(*) filter (where a.outcome <> 'delivered') as failed,
        pg_catalog.percentile_cont(0.5) within group (order by a.duration_ms) as p50_ms,
        pg_catalog.percentile_cont(0.95) within group (order by a.duration_ms) as p95_ms,
        pg_catalog.percentile_cont(0.99) within group (order by a.duration_ms) as p99_ms,
        max(a.at) filter (where a.outcome = 'delivered') as last_success_at,
        max(a.at) filter (where a.outcome <> 'delivered') as last_error_at,
        (pg_catalog.array_agg(a.error order by a.at desc) filter (where a.outcome <> 'delivered'))[1] as last_error
    from herald._attempt a
    where a.at > pg_catalog.statement_timestamp() - interval '1 hour'
    group by a.subscription_id
) h on h.subscription_id = s.id
cross join lateral (
    select count(*) as backlog, min(p.created_at) as oldest_at from herald.pending p where p.subscription_id = s.id
) b
where s.removed_at is null
and case when (select m.tenants from herald._mine m) is null
    then (select r.is_readable from herald._readable r where r.name = 'subscription_stats')
    else s.tenant = any ((select m.tenants from herald._mine m)::text[]) end;

-- One line for each subscription.
create function herald._status()
    returns table (subscription text, state text, backlog bigint, oldest_age interval, success_rate_1h numeric, last_error text)
    language plpgsql stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    own constant text[] := herald._tenants_of(herald._caller());
begin
    return query
    select t.subscription, t.state, t.backlog, date_trunc('milliseconds', t.lag), t.success_rate_1h, t.last_error
    from herald.subscription_stats t
    where own is null or t.subscription in (
        select s.name from herald._subscription s where s.tenant = any (own) and s.removed_at is null)
    order by t.backlog desc, t.subscription;
end
$$;

-- The subscriptions that nothing can be sent to as they are, and why.
create function herald._obstacles() returns table (subscription_id bigint, obstacle text)
    language c volatile
    as 'MODULE_PATHNAME', 'obstacles_wrapper';

-- Which setting of this session no worker could read.
create function herald._settings_fault() returns text
    language c stable
    as 'MODULE_PATHNAME', 'settings_fault_wrapper';

create function herald._why_not(types text[], tenant text, event_type text, event_tenant text) returns text
    language c
    as 'MODULE_PATHNAME', 'why_not_wrapper';

-- Why an event went to a subscription or did not: a row for each subscription.
create function herald._why(event_id text)
    returns table (subscription text, matched boolean, rule text, state text, attempts integer,
                   next_attempt_at timestamptz, blocked_by text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    event constant herald.event := herald._find_event($1);
    own constant text[] := herald._tenants_of(herald._caller());
    at_cursor record;
begin
    select c.* into at_cursor from herald._cursor() c;
    return query
    select
        s.name, m.rule is null, coalesce(m.rule, format('types: "%s" is matched by %s', event.type,
            case when herald._are_types(s.types)
                then (select string_agg(format('"%s"', t), ', ') from unnest(s.types) t where herald._matches(array[t], event.type))
                else 'its types, which cannot be read: every event is held for it' end)),
        d.state, d.attempts, d.next_attempt_at,
        case
            when d.state is null or d.state in ('delivered', 'dead') then null
            when herald._worker_pid() is null then 'the worker does not run: see herald.doctor()'
            when not current_setting('herald.enabled')::boolean then 'herald.enabled is off'
            when s.state not in ('active', 'sandbox') then format('the subscription is %s: %s', s.state, s.state_reason)
            when o.obstacle is not null and own is not null then 'nothing can be sent: ask who runs the database'
            when o.obstacle is not null then format('nothing can be sent: %s', o.obstacle)
            when q.tenant is not null then format('quota: tenant "%s" has used its %s events of this month', q.tenant, q.events_per_month)
            when d.next_attempt_at > clock_timestamp() then format('it failed (%s) and waits for its next attempt', d.error_class)
        end
    from herald._subscription s
    cross join lateral (
        select coalesce(
            herald._why_not(s.types, s.tenant, event.type, event.tenant),
            case
                when event.xid = s.created_xid and event.seq <= s.created_seq
                    or event.xid <> s.created_xid and pg_visible_in_snapshot(event.xid, s.created_snapshot)
                then format('created_at: the subscription was created later, at %s', s.created_at)
            end) as rule
    ) m
    left join lateral (
        select v.state, v.attempts, v.next_attempt_at, v.error_class
        from herald.delivery v
        where v.event_seq = event.seq and v.subscription_id = s.id
        union all
        select 'sending', 0, null, null
        where m.rule is null and not pg_visible_in_snapshot(event.xid, at_cursor.snapshot)
        limit 1
    ) d on true
    left join herald._obstacles() o on o.subscription_id = s.id
    left join herald._over_quota q on q.tenant = s.tenant and q.over_quota = 'throttled'
    where s.removed_at is null and (own is null or s.tenant = any (own))
    order by m.rule is not null, s.name;
end
$$;

create function herald._worker_pid() returns integer
    language c volatile
    as 'MODULE_PATHNAME', 'worker_pid_wrapper';

create function herald._is_preloaded() returns boolean
    language c stable
    as 'MODULE_PATHNAME', 'is_preloaded_wrapper';

create function herald._found_no_worker_slot() returns boolean
    language c volatile
    as 'MODULE_PATHNAME', 'found_no_worker_slot_wrapper';

create function herald._library_version() returns text
    language c stable
    as 'MODULE_PATHNAME', 'library_version_wrapper';

-- Whether secrets are sealed with the key of now. Called by doctor().
create function herald._check_secret_key() returns table ("check" text, status text, detail text, hint text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    current_key text;
    others bigint;
begin
    begin
        current_key := herald._secret_key_id();
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

-- Looks for everything that is known to go wrong.
create function herald.doctor()
    returns table ("check" text, status text, detail text, hint text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    worker integer := herald._worker_pid();
    installed text;
begin
    if worker is null then
        select a.pid into worker from pg_stat_activity a
        where a.backend_type = 'pg_herald worker' and a.datname = current_database() limit 1;
    end if;
    select x.extversion into installed from pg_extension x where x.extname = 'pg_herald';
    return query values (
        'preload', case when herald._is_preloaded() then 'ok' else 'warning' end,
        case when herald._is_preloaded() then 'shared_preload_libraries has pg_herald'
            else 'commits do not wake the worker, and it does not start with the server' end,
        case when not herald._is_preloaded() then 'Add pg_herald to shared_preload_libraries in postgresql.conf and restart the server.' end);
    return query values (
        'worker', case when worker is null and not pg_is_in_recovery() then 'error' else 'ok' end,
        case when worker is not null then format('runs as process %s', worker)
            when pg_is_in_recovery() then 'waits for the promotion of this standby'
            when herald._found_no_worker_slot() then 'no background worker slot is free'
            else 'does not run' end,
        case when worker is not null or pg_is_in_recovery() then null
            when herald._found_no_worker_slot() then format('Raise max_worker_processes (now %s) and restart the server.', current_setting('max_worker_processes'))
            else 'Run: select herald.start_worker();' end);
    return query select * from herald._check_death();
    return query values (
        'version', case when installed = herald._library_version() then 'ok' else 'error' end,
        format('extension %s, library %s', installed, herald._library_version()),
        case when installed <> herald._library_version() then 'Run: alter extension pg_herald update; then restart the server.' end);
    return query
    select 'settings', 'error', f.fault, 'Correct it and reload: the worker keeps its former settings, and does not start with these.'
    from (select herald._settings_fault() as fault) f
    where f.fault is not null;
    return query
    select 'enabled', case when s.setting::boolean then 'ok' else 'warning' end,
           format('herald.enabled is %s (%s)', s.setting, s.source),
           case when s.setting::boolean then null
               when s.source in ('database', 'database user', 'user')
                   then format('Run: alter database %I set herald.enabled = on; select herald.restart_worker();', current_database())
               when s.source = 'session' then 'It is off in this session only, where it has no effect. Run: reset herald.enabled;'
               else 'Run: alter system set herald.enabled = on; select pg_reload_conf();' end
    from pg_settings s
    where s.name = 'herald.enabled';
    return query
    select 'origin', case when h.reason is null then 'ok' else 'error' end,
           coalesce(h.reason, 'this database is where its log was written'),
           case when h.reason is not null then 'Decide, then run: select * from herald.resume_after_restore(''deliver'') or (''skip'');' end
    from (select herald._hold_reason() as reason) h;
    return query
    select 'subscription', 'error', format('nothing can be sent to subscription "%s": %s', s.name, o.obstacle),
           case when o.obstacle like '%rotate_secret%' then format('Run: select herald.rotate_secret(%L);', s.name)
               when o.obstacle like 'the values of its headers%' then format('Write: update herald.subscription set headers = ''{...}'', tls = ''{...}'' where name = %L;', s.name)
               else 'Mend it; its deliveries are held until then.' end
    from herald._obstacles() o
    join herald._subscription s on s.id = o.subscription_id;
    return query select * from herald._check_secret_key();
    return query
    select 'quota', 'warning', format('tenant "%s" has used its %s events of this month; further deliveries are %s', q.tenant,
                                      q.events_per_month, case q.over_quota when 'throttled' then 'held' else 'given up' end),
           format('Wait for the next month, or run: update herald.tenant set plan = ... where name = %L;', q.tenant)
    from herald._over_quota q;
    return query
    select 'subscription', 'warning', format('subscription "%s" is %s since %s: %s', s.name, s.state, s.state_changed_at, s.state_reason),
           format('Run: select * from herald.resume(%L);', s.name)
    from herald._subscription s
    where s.removed_at is null and s.state <> 'active';
    return query
    select 'trigger', 'warning', format('trigger %s on %s is disabled, so its changes are not captured', t.tgname, t.tgrelid::regclass),
           format('Run: alter table %s enable trigger %I;', t.tgrelid::regclass, t.tgname)
    from pg_trigger t
    where t.tgfoid = 'herald._capture()'::regprocedure and t.tgenabled not in ('O', 'A');
    return query
    select 'trigger', 'error', format('watch "%s" on %s has no trigger for %s on %s', w.name, w.table_name, o, t.relid::regclass),
           format('Run: select * from herald.watch(%L, %L);', w.table_name, w.name)
    from herald.watch w
    cross join unnest(w.operations) o
    cross join herald._tree(w.table_name) t (relid)
    where not exists (
        select from pg_trigger g
        where g.tgrelid = t.relid and g.tgname = format('pg_herald_%s_%s', w.id, o));
    return query
    select 'capture', 'warning', format('herald.capture is off for %s', coalesce('role ' || r.rolname, 'database ' || d.datname, 'all')),
           'Changes made with it off are not captured. Reset it when the bulk load is done.'
    from pg_db_role_setting s
    left join pg_roles r on r.oid = s.setrole
    left join pg_database d on d.oid = s.setdatabase
    cross join unnest(s.setconfig) c
    where lower(c) in ('herald.capture=off', 'herald.capture=false', 'herald.capture=no', 'herald.capture=0');
    if current_setting('session_replication_role') = 'replica' then
        return query values ('session_replication_role', 'warning', 'it is replica in this session: triggers do not fire',
            'Changes made in this session are not captured.');
    end if;
    return query
    select 'lag', case when p.oldest < clock_timestamp() - interval '1 hour' then 'warning' else 'ok' end,
           format('%s deliveries pending%s', p.backlog, coalesce(', the oldest since ' || p.oldest, '')),
           case when p.oldest < clock_timestamp() - interval '1 hour' then 'See: select * from herald.status();' end
    from (select count(*) as backlog, min(q.created_at) as oldest from herald.pending q) p;
    return query
    select 'log', case when u.oldest < clock_timestamp() - interval '5 minutes' then 'warning' else 'ok' end,
           coalesce('the oldest event that was not read is of ' || u.oldest, 'everything was read'),
           case when u.oldest < clock_timestamp() - interval '5 minutes'
               then 'See the checks worker, enabled and origin, and the server''s log.' end
    from (
        select (select herald._recorded_at(e.uid)
                from herald.event e
                where e.seq > c.seq and e.origin = herald._origin() and not pg_visible_in_snapshot(e.xid, c.snapshot)
                order by e.seq limit 1) as oldest
        from herald._cursor() c
    ) u;
end
$$;
