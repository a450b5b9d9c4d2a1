-- Questions about one event, and about each subscription.

-- Who has locked what a question looks at, for people. Tenants are not told of others' sessions.
-- Called by status(), why() and doctor(), which wait for a lock for 100 ms and no longer.
create function herald._blocked_by() returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not has_function_privilege(herald._caller()::oid, 'herald.doctor()', 'execute') then
        return 'a lock is in the way: ask who runs the database';
    end if;
    return coalesce((select string_agg(b.words, '; ') from herald._blockers() b), 'a lock was in the way for a moment');
end
$$;

-- Sessions and prepared transactions that have a table for themselves, those of pg_herald first: how they are called, what
-- they hold since when, and their processes.
create function herald._blockers() returns table (words text, pid integer)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select format('%s has locked %s since %s',
                  case when l.pid is null then format('prepared transaction "%s"', x.gid)
                      else format('process %s (%s of role %s)', l.pid, coalesce(nullif(a.application_name, ''), 'no application_name'), a.usename) end,
                  string_agg(distinct l.relation::regclass::text, ', '),
                  date_trunc('second', coalesce(min(a.xact_start), min(x.prepared)))),
           l.pid
    from pg_locks l
    left join pg_class c on c.oid = l.relation
    left join pg_stat_activity a on a.pid = l.pid
    left join pg_prepared_xacts x on l.pid is null and x.transaction::text = split_part(l.virtualtransaction, '/', 2)
    where l.locktype = 'relation' and l.granted and l.mode = 'AccessExclusiveLock' and l.pid is distinct from pg_backend_pid()
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
    group by l.pid, x.gid, a.application_name, a.usename
    order by bool_or(c.relnamespace = 'herald'::regnamespace) desc, 1
    limit 3
$$;

-- One line for each subscription.
create function herald._status()
    returns table (subscription text, state text, backlog bigint, oldest_age interval, success_rate_1h numeric, last_error text)
    language plpgsql stable
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '100ms'
as $$
#variable_conflict use_column
declare
    own text[];
begin
    own := herald._tenants_of(herald._caller());
    return query
    select t.subscription, t.state, t.backlog, date_trunc('milliseconds', t.lag), t.success_rate_1h, t.last_error
    from herald._all_subscription_stats t
    where own is null or t.subscription in (
        select s.name from herald._subscription s where s.is_tenants and s.tenant = any (own) and s.removed_at is null)
    order by t.backlog desc, t.subscription;
exception when lock_not_available then
    return query values (null, 'unknown', null::bigint, null::interval, null::numeric, herald._blocked_by());
end
$$;

-- The subscriptions that nothing can be sent to as they are, and why.
create function herald._obstacles() returns table (subscription_id bigint, obstacle text)
    language c volatile
    as 'MODULE_PATHNAME', 'obstacles_wrapper';

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
    set lock_timeout = '100ms'
as $$
#variable_conflict use_column
declare
    event herald.event;
    own text[];
    at_cursor record;
begin
    event := herald._find_event($1);
    own := herald._tenants_of(herald._caller());
    select c.* into at_cursor from herald._cursor() c;
    return query
    with delivered as materialized (
        select v.* from herald._all_delivery v where v.event_seq = event.seq
    )
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
            when s.is_tenants and herald._tenant_obstacle(s.tenant) is not null then herald._tenant_obstacle(s.tenant)
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
        from delivered v
        where v.subscription_id = s.id
        union all
        select 'sending', 0, null, null
        where m.rule is null and not pg_visible_in_snapshot(event.xid, at_cursor.snapshot)
        limit 1
    ) d on true
    left join herald._obstacles() o on o.subscription_id = s.id
    left join herald._over_quota q on s.is_tenants and q.tenant = s.tenant and q.over_quota = 'throttled'
    where s.removed_at is null and (own is null or s.is_tenants and s.tenant = any (own))
    order by m.rule is not null, s.name;
exception when lock_not_available then
    return query values (null, null::boolean, null, 'unknown', null::integer, null::timestamptz, herald._blocked_by());
end
$$;
