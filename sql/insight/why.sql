-- Answers questions about one event, and about each subscription.

-- Returns one line for each subscription.
create function herald_internal._status()
    returns table (subscription text, state text, backlog bigint, oldest_age interval,
                   success_rate_1h numeric, last_error text)
    language plpgsql stable
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '100ms'
as $$
#variable_conflict use_column
declare
    own text[];
begin
    own := herald_internal.tenants_of(herald_internal.caller());
    return query
    select t.subscription, t.state, t.backlog, t.lag, t.success_rate_1h, t.last_error
    from herald_internal.all_subscription_stats t
    where own is null or t.subscription in (
        select s.name from herald_internal.subscription s
        where s.is_tenants and s.tenant = any (own) and s.removed_at is null)
    order by t.backlog desc, t.subscription;
exception when lock_not_available then
    return query values (null, 'unknown', null::bigint, null::interval, null::numeric, herald_internal.blocked_by());
end
$$;

-- Returns the subscriptions to which nothing can be sent as they are, and why.
create function herald_internal.obstacles() returns table (subscription_id bigint, obstacle text)
    language c volatile
    as 'MODULE_PATHNAME', 'obstacles_wrapper';

-- Returns why an event went to a subscription or did not: a row for each subscription.
create function herald_internal._why(event_id text)
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
    event := herald_internal.find_event($1);
    own := herald_internal.tenants_of(herald_internal.caller());
    select c.* into at_cursor from herald_internal.cursor() c;
    return query
    with delivered as materialized (
        select v.* from herald_internal.all_delivery v where v.event_seq = event.seq
    )
    select
        s.name, m.rule is null, coalesce(m.rule, format('types: "%s" is matched by %s', event.type,
            case when herald_internal.are_types(s.types)
                then (select string_agg(format('"%s"', t), ', ')
                      from unnest(s.types) t
                      where herald_internal.matches(array[t], null, event.type, null))
                else 'its types, which cannot be read: every event is held for it' end)),
        d.state, d.attempts, d.next_attempt_at,
        case
            when m.rule is not null and d.state is null then null
            when exists (select from herald_internal.cancelled c where c.event_seq = event.seq) then 'it was cancelled'
            when d.state is null and herald_internal.expires_at(event.extensions::text) <= clock_timestamp()
                then format('expirytime: it expired at %s', herald_internal.expires_at(event.extensions::text))
            when d.state is null or d.state = 'delivered' then null
            when d.state = 'dead' then format('it is a dead letter: %s%s', d.reason, d.failure)
            when herald_internal.worker_pid() is null then 'the worker does not run: see herald.doctor()'
            when not current_setting('herald.enabled')::boolean then 'herald.enabled is off'
            when s.state not in ('active', 'sandbox') then format('the subscription is %s: %s', s.state, s.state_reason)
            when s.is_tenants and herald_internal.tenant_obstacle(s.tenant) is not null
                then herald_internal.tenant_obstacle(s.tenant)
            when o.obstacle is not null and own is not null then 'cannot send: ask who runs the database'
            when o.obstacle is not null then format('cannot send: %s', o.obstacle)
            when b.subscription_id is not null
                then format('its breaker is open since %s, and was last tried at %s: %s', b.opened_at, b.failed_at,
                            b.failure)
            when herald_internal.closed_until((s.options -> 'active_hours')::json, clock_timestamp()) is not null
                then format('active_hours: it is held until %s',
                            herald_internal.closed_until((s.options -> 'active_hours')::json, clock_timestamp()))
            when q.tenant is not null
                then format('quota: tenant "%s" has used its %s events of this month', q.tenant, q.events_per_month)
            when event.deliver_at > clock_timestamp() then format('deliver_at: it is sent at %s', event.deliver_at)
            when d.next_attempt_at = 'infinity' then herald_internal.order_obstacle(s.id, event.seq)
            when d.next_attempt_at > clock_timestamp() and d.attempts > 0
                then format('it failed%s and waits for its next attempt', d.failure)
            when s.options ? 'rate_limit' and d.next_attempt_at <= clock_timestamp()
                then format('it waits for its turn: rate_limit is %s', s.options ->> 'rate_limit')
            when l.rate_limit is not null and d.next_attempt_at <= clock_timestamp()
                then format('it waits for its turn: the plan''s rate_limit is %s', l.rate_limit)
            when l.of_host is not null and d.next_attempt_at <= clock_timestamp()
                then format('it waits for its turn: herald.host_limit has %s', l.of_host)
        end
    from herald_internal.subscription s
    cross join lateral (
        select coalesce(
            herald_internal.why_not(
                s.types, s.tenant, herald_internal.selection_of(s, event.xid, event.seq), event),
            case
                when not herald_internal.was_there(s.created_xid, s.created_snapshot, s.created_seq,
                                                   event.xid, event.seq)
                then format('created_at: the subscription was created later, at %s', s.created_at)
            end) as rule
    ) m
    left join lateral (
        select v.state, v.attempts, v.next_attempt_at, l.reason,
               case when v.error_class is not null
                   then format(' (%s)', concat_ws(' ', v.error_class, v.status_code)) end as failure
        from delivered v
        left join herald_internal.dead_letter l
            on v.state = 'dead' and l.subscription_id = v.subscription_id and l.event_seq = v.event_seq
        where v.subscription_id = s.id
        union all
        select 'sending', 0, null, null, null
        where m.rule is null and not pg_visible_in_snapshot(event.xid, at_cursor.snapshot)
        limit 1
    ) d on true
    left join herald_internal.obstacles() o on o.subscription_id = s.id
    left join herald_internal.breaker b on b.subscription_id = s.id
    cross join lateral (
        select
            (select p.rate_limit from herald.tenant t join herald.plan p on p.name = t.plan
             where s.is_tenants and t.name = s.tenant) as rate_limit,
            (select case when own is not null then 'a limit'
                         else nullif(concat_ws(' and ', h.rate_limit, h.max_concurrency || ' connections'), '') end
             from herald.host_limit h
             where h.host = lower(substring(s.url from '^[a-zA-Z]+://(?:[^/?#]*@)?([^/?#:\[]+|\[[^]]*\])'))) as of_host
    ) l
    left join herald_internal.over_quota q on s.is_tenants and q.tenant = s.tenant and q.over_quota = 'throttled'
    where s.removed_at is null and (own is null or s.is_tenants and s.tenant = any (own))
    order by m.rule is not null, s.name;
exception when lock_not_available then
    return query values (null, null::boolean, null, 'unknown', null::integer, null::timestamptz,
                         herald_internal.blocked_by());
end
$$;
