-- Insight: what happened, and what waits.

-- Subscriptions as their users see them, with a column for each option.
do $do$
begin
    execute format($format$
        create view herald_internal.all_subscription as
        select
            s.id, s.name, s.state, s.state_reason, %s, s.consented_at, s.consent_rate, s.consent_error, s.created_at,
            s.changed_at, s.state_changed_at, b.opened_at as breaker_opened_at
        from herald_internal.subscription s
        left join herald_internal.breaker b on b.subscription_id = s.id
        cross join lateral pg_catalog.json_populate_record(
            null::herald_internal.options, herald_internal.readable_options(s.options::text)::json) o
        where s.removed_at is null
        $format$, (
            select string_agg(format('%s.%I',
                                     case when d.name = any (herald_internal.column_options()) then 's' else 'o' end,
                                     d.name), ', '
                              order by d.position)
            from herald_internal.declared_options() d
            where d.is_option));
end
$do$;

-- The views below are queried before anybody has analyzed a slot, and on slots with millions of rows. So they join
-- whole rings, which the planner may do by hash or by index, and look nothing up per row: the planner considers a
-- look-up that could go to 32 slots so expensive that it compiles the whole query (JIT), which takes seconds.

-- Every HTTP request, with its outcome.
create view herald_internal.all_attempt as
select
    coalesce(e.id, e.uid::text, h.id, h.uid::text) as event_id, coalesce(e.type, h.type) as type,
    s.name as subscription, a.attempt, a.at, a.status_code, a.outcome, a.error_class, a.error, a.duration_ms,
    a.response, a.request, a.event_seq, a.subscription_id
from herald_internal.attempt a
join herald_internal.subscription s on s.id = a.subscription_id
left join herald.event e on e.slot = a.event_slot and e.seq = a.event_seq
left join herald.held_event h on h.seq = a.event_seq;

-- One row for each event and subscription: where its delivery stands.
create view herald_internal.all_delivery as
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
    from herald_internal.attempt a
    -- The delivered ones; phrased like this, a planner without statistics expects most attempts to match.
    where a.outcome not in ('retrying', 'dead')
    and not exists (
        select from herald_internal.attempt b
        where b.event_seq = a.event_seq and b.subscription_id = a.subscription_id
        and (b.at, b.attempt) > (a.at, a.attempt))
    and not exists (
        select from herald.pending p where p.event_seq = a.event_seq and p.subscription_id = a.subscription_id)
    union all
    select
        p.subscription_id, p.event_seq, p.event_slot, null, null,
        case
            when s.state not in ('active', 'sandbox')
                or s.is_tenants and s.tenant in (
                    select u.tenant from herald_internal.over_quota u where u.over_quota = 'throttled')
                then 'held'
            when p.attempts > 0 then 'retrying'
            else 'pending'
        end,
        p.status_code, p.attempts, p.duration_ms, p.error_class, p.created_at, p.last_attempt_at,
        coalesce(p.deliver_at, p.next_attempt_at)
    from herald.pending p
    join herald_internal.subscription s on s.id = p.subscription_id
    union all
    select
        l.subscription_id, l.event_seq, l.event_slot, l.event_id, l.type, 'dead',
        (l.attempt_log -> -1 ->> 'status_code')::integer, l.attempts, (l.attempt_log -> -1 ->> 'duration_ms')::real,
        l.attempt_log -> -1 ->> 'error_class', l.created_at, coalesce(l.last_attempt_at, l.failed_at), null
    from herald_internal.dead_letter l
) d
join herald_internal.subscription s on s.id = d.subscription_id
left join herald.event e on e.slot = d.event_slot and e.seq = d.event_seq
left join herald.held_event h on h.seq = d.event_seq;

-- Deliveries of ordered subscriptions that have failed, and dead letters, that hold those behind them.
create view herald_internal.all_blocked_key as
select
    s.name as subscription, coalesce(e.key, h.key, p.key) as key, coalesce(e.source, h.source, p.source) as source,
    coalesce(e.id, e.uid::text, h.id, h.uid::text, p.event_id) as event_id,
    case when p.is_dead then 'dead' else 'retrying' end as state, p.since, p.attempts, p.next_attempt_at,
    (
        select count(*) from herald.pending q
        where q.subscription_id = p.subscription_id and q.order_key = p.order_key
        and (q.order_at, q.event_seq) > (p.order_at, p.event_seq)
    ) as waiting,
    p.event_seq, p.subscription_id
from (
    select r.subscription_id, r.event_slot, r.event_seq, r.order_key, r.order_at, r.blocks_since as since, r.attempts,
           r.next_attempt_at, false as is_dead, null as key, null as source, null as event_id
    from herald.pending r
    where r.blocks_since is not null and r.order_key is not null
    union all
    select b.subscription_id, b.event_slot, b.event_seq, b.order_key, b.order_at, b.since, b.attempts, null, true,
           b.key, b.source, b.event_id
    from herald_internal.blocking_letter b
) p
join herald_internal.subscription s on s.id = p.subscription_id
left join herald.event e on e.slot = p.event_slot and e.seq = p.event_seq
left join herald.held_event h on h.seq = p.event_seq;

-- Deliveries that were given up.
create view herald_internal.all_dead_letter as
select l.*
from herald_internal.dead_letter l;

-- Statistics of each subscription for the last hour.
create view herald_internal.all_subscription_stats as
select
    s.name as subscription, s.state, coalesce(h.attempts, 0) as attempts_1h, coalesce(h.delivered, 0) as delivered_1h,
    coalesce(h.failed, 0) as failed_1h,
    case when h.attempts > 0 then pg_catalog.round(h.delivered::numeric / h.attempts, 4) end as success_rate_1h,
    h.p50_ms, h.p95_ms, h.p99_ms, h.last_success_at, h.last_error_at, h.last_error,
    b.backlog, b.oldest_at as oldest_pending_at,
    pg_catalog.date_trunc('milliseconds', pg_catalog.clock_timestamp() - b.oldest_at) as lag,
    (select count(*) from herald_internal.dead_letter d where d.subscription_id = s.id) as dead_letters,
    (
        select pg_catalog.round((sum(u.up_seconds) / nullif(sum(u.up_seconds + u.down_seconds), 0))::numeric, 4)
        from herald_internal.uptime u
        where u.subscription_id = s.id and u.hour > pg_catalog.statement_timestamp() - interval '24 hours'
    ) as uptime_24h
from herald_internal.subscription s
-- The hour is read once for all. Its beginning must not change meanwhile, or no index is of use.
left join (
    select
        a.subscription_id,
        count(*) as attempts,
        count(*) filter (where a.outcome = 'delivered') as delivered,
        count(*) filter (where a.outcome <> 'delivered') as failed,
        pg_catalog.round((pg_catalog.percentile_cont(0.5) within group (order by a.duration_ms))::numeric, 3)::float8
            as p50_ms,
        pg_catalog.round((pg_catalog.percentile_cont(0.95) within group (order by a.duration_ms))::numeric, 3)::float8
            as p95_ms,
        pg_catalog.round((pg_catalog.percentile_cont(0.99) within group (order by a.duration_ms))::numeric, 3)::float8
            as p99_ms,
        max(a.at) filter (where a.outcome = 'delivered') as last_success_at,
        max(a.at) filter (where a.outcome <> 'delivered') as last_error_at,
        (pg_catalog.array_agg(a.error order by a.at desc) filter (where a.outcome <> 'delivered'))[1] as last_error
    from herald_internal.attempt a
    where a.at > pg_catalog.statement_timestamp() - interval '1 hour'
    group by a.subscription_id
) h on h.subscription_id = s.id
cross join lateral (
    select count(*) as backlog, min(p.created_at) filter (where p.deliver_at is null) as oldest_at
    from herald.pending p where p.subscription_id = s.id
) b
where s.removed_at is null;

-- Creates the views: roles that may read a view see everything, a tenant's role only its own rows, from a function (see
-- _sees_all()). The condition selects these rows.
do $$
declare
    shown record;
begin
    for shown in
        select * from (values
            ('usage', 'v.tenant = any (own)'),
            ('subscription', 'v.id in (select s.id from mine s)'),
            ('attempt', 'v.subscription_id in (select s.id from mine s)'),
            ('delivery', 'v.subscription_id in (select s.id from mine s)'),
            ('dead_letter', 'v.subscription_id in (select s.id from mine s)'),
            ('blocked_key', 'v.subscription_id in (select s.id from mine s)'),
            ('subscription_stats', 'v.subscription in (select s.name from mine s where s.removed_at is null)')
        ) as v (name, condition)
    loop
        execute format($format$
            create function herald_internal._own_%1$s() returns setof herald_internal.all_%1$s
                language plpgsql stable
                security definer
                set search_path = pg_catalog, pg_temp
            as $body$
            declare
                own constant text[] := herald_internal.tenants_of(herald_internal.viewer());
            begin
                if own is not null then
                    return query
                    with mine as (
                        select s.id, s.name, s.removed_at from herald_internal.subscription s
                        where s.is_tenants and s.tenant = any (own)
                    )
                    select v.* from herald_internal.all_%1$s v where %2$s;
                end if;
            end
            $body$;
            create function herald_internal.own_%1$s() returns setof herald_internal.all_%1$s
                language c stable parallel restricted rows 100
                as 'MODULE_PATHNAME', 'with_rights_wrapper';
            create view herald.%1$s as
                select a.* from herald_internal.all_%1$s a where (select herald_internal.sees_all(%1$L))
                union all
                select o.* from herald_internal.own_%1$s() o;
            comment on view herald_internal.all_%1$s is %3$L;
            $format$, shown.name, shown.condition,
            format('What herald.%s shows to roles that see all of it.', shown.name));
    end loop;
end
$$;

-- Returns the current expressions of watches, as the objects they use may have been renamed, to roles that may read the
-- view.
create function herald_internal._expressions_of_watches()
    returns table (watch_id bigint, type_expression text, condition text, data text, subject text,
                   key text, tenant text, priority text)
    language plpgsql stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if herald_internal._sees_all('watch') then
        return query
        select w.id, x.texts ->> 'type_expression', x.texts ->> 'condition',
               regexp_replace(x.texts ->> 'data', '^to_json\((.*)\)$', '\1'),
               x.texts ->> 'subject', x.texts ->> 'key', x.texts ->> 'tenant', x.texts ->> 'priority'
        from herald_internal.watch w
        cross join lateral (
            select jsonb_object_agg(
                e, substr(pg_get_function_sqlbody(herald_internal.expression_function(w, e)), length('RETURN ') + 1)
            ) as texts
            from unnest(w.expressions) e
        ) x;
    end if;
end
$$;

create function herald_internal.expressions_of_watches()
    returns table (watch_id bigint, type_expression text, condition text, data text, subject text,
                   key text, tenant text, priority text)
    language c stable parallel restricted rows 100
    as 'MODULE_PATHNAME', 'with_rights_wrapper';

create view herald.watch as
select
    w.id, w.table_name, w.name, w.operations, w.type, x.type_expression, x.condition, x.data, x.subject, x.key,
    x.tenant, x.priority, w.include_columns, w.exclude_columns, w.on_change_of, w.on_error, w.replicated, w.created_at,
    w.changed_at
from herald_internal.watch w
left join herald_internal.expressions_of_watches() x on x.watch_id = w.id;

-- Estimates show what the planner knows of a table's values, so it learns nothing of texts that belong to somebody.
do $$
declare
    shown record;
begin
    for shown in
        select a.attrelid::regclass as relation,
               string_agg(format('alter column %I set statistics 0', a.attname), ', ') as changes
        from pg_attribute a
        join pg_type y on y.oid = a.atttypid
        where a.attrelid in ('herald_internal.subscription'::regclass, 'herald_internal.attempt'::regclass,
                             'herald_internal.dead_letter'::regclass, 'herald.tenant'::regclass,
                             'herald_internal.usage'::regclass)
        and a.attnum > 0 and y.typcategory not in ('N', 'D', 'T', 'B')
        and a.attname not in ('state', 'outcome', 'reason', 'error_class')
        group by a.attrelid
    loop
        execute format('alter table %s %s', shown.relation, shown.changes);
    end loop;
end
$$;
