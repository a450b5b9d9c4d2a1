-- What doctor() says of the flow of events: failing receivers, dead letters, types that nobody sends, slots that stay
-- full.

-- Event types that the worker has seen, at most 1,000.
create table herald_internal.type (
    type text primary key
);

-- Returns subscriptions whose requests all failed in the last hour. Reads the attempts only if a delivery failed and is
-- still pending, or was given up recently.
create function herald_internal.doctor_failing() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'failing', 'warning',
           format('all %s requests of the last hour to subscription "%s" failed, the last one with: %s',
                  f.attempts, f.name, f.last_error),
           format('See: select * from herald.attempt where subscription = %L order by at desc limit 10;', f.name)
    from (
        select s.name, count(*) as attempts, (array_agg(a.error order by a.at desc))[1] as last_error
        from herald_internal.subscription s
        join herald_internal.attempt a on a.subscription_id = s.id
        where a.at > statement_timestamp() - interval '1 hour' and s.removed_at is null and s.state = 'active'
        and s.id in (
            select p.subscription_id from herald.pending p where p.attempts > 0
            union
            select l.subscription_id from herald_internal.recent_letters() l)
        group by s.name
        having count(*) filter (where a.outcome = 'delivered') = 0
    ) f
    order by f.attempts desc
    limit 20
$$;

-- Returns the newest dead letters that are at most a day old and were not discarded.
create function herald_internal.recent_letters() returns table (subscription_id bigint, reason text)
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select l.subscription_id, l.reason
    from (
        select d.subscription_id, d.reason, d.failed_at
        from herald_internal.dead_letter d
        order by d.id desc
        limit 10000
    ) l
    where l.failed_at > now() - interval '1 day' and l.reason <> 'discarded'
$$;

create function herald_internal.doctor_dead_letters() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'dead_letters', 'warning',
           format('%s deliveries to subscription "%s" were given up in the last day: %s', sum(r.how_many), s.name,
                  string_agg(format('%s %s', r.how_many, r.reason), ', ' order by r.how_many desc)),
           format('See: select * from herald.dead_letter where subscription = %L; then run: '
                  'select herald.redeliver_dead_letters(%1$L);',
                  s.name)
    from (
        select l.subscription_id, l.reason, count(*) as how_many from herald_internal.recent_letters() l group by 1, 2
    ) r
    join herald_internal.subscription s on s.id = r.subscription_id
    where s.removed_at is null
    group by s.name
    order by sum(r.how_many) desc
    limit 20
$$;

-- Returns globs that match no type ever seen: a slip, such as two types in one text. A subscription may exist for a day
-- before its first event. Only the newest 200 globs are examined, as comparing takes globs times types.
create function herald_internal.doctor_types() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with seen as materialized (
        select array_agg(t.type) as types from herald_internal.type t
    ), missed as (
        select g.name, g.glob
        from (
            select s.id, s.name, t.glob
            from herald_internal.subscription s
            cross join unnest(s.types) as t (glob)
            where s.removed_at is null and s.state = 'active' and herald_internal.are_types(s.types)
            and (s.created_at < now() - interval '1 day' or t.glob ~ '[{},]') and t.glob not like 'herald.%'
            order by s.id desc
            limit 200
        ) g
        where not exists (select from herald_internal.type t where t.type = g.glob)
        and (strpos(g.glob, '*') = 0
            or not exists (
                select from herald_internal.type t where herald_internal.matches(array[g.glob], null, t.type, null)))
        limit 20
    )
    select 'types', 'warning',
           format('no type that was ever seen is matched by "%s" of subscription "%s"', m.glob, m.name),
           case when m.glob ~ '[{},]'
               then 'Give each type as a member of its own: types => ''{order.paid,order.sent}''.'
               else coalesce(format('The nearest one is "%s".', herald_internal.nearest(m.glob, s.types[:200])),
                             'See which there are: select distinct type from herald.event;') end
    from missed m
    cross join seen s
    -- With more types, not all are remembered.
    where coalesce(cardinality(s.types), 0) < 1000
$$;

create function herald_internal.doctor_breaker() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'breaker', 'warning',
           format('the breaker of subscription "%s" is open since %s: %s', s.name, b.opened_at, b.failure),
           format('Ask the owner of the receiver. It is tried again by itself, or run: select * from herald.ping(%L);',
                  s.name)
    from herald_internal.breaker b
    join herald_internal.subscription s on s.id = b.subscription_id
    where s.removed_at is null
    order by b.opened_at
    limit 20
$$;

-- Returns paths that filters ask for and no recent event of their types has. Only the newest 100 filters are examined.
create function herald_internal.doctor_filter() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'filter', 'warning',
           format('the filter of subscription "%s" asks for "%s", which none of %s recent events of its types has',
                  s.name, u.path, u.events),
           case when not herald_internal.sees_data() then 'Ask who may read herald.event.'
               else coalesce(format('Perhaps it is "%s".', u.nearest),
                             'See the data: select type, data from herald.event order by seq desc limit 10;') end
    from herald_internal.unseen_paths(
        array(
            select f.id
            from herald_internal.subscription f
            where f.removed_at is null and f.state = 'active' and f.options ? 'filter'
            order by f.changed_at desc
            limit 100),
        2000000) u
    join herald_internal.subscription s on s.id = u.subscription_id
    limit 20
$$;

-- Returns slots of events that are long past their retention but not emptied, and the processes that use them.
create function herald_internal.doctor_ring() returns table ("check" text, status text, detail text, hint text)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select 'ring', 'warning',
           format('slot herald_internal.event_%s is past its retention and could not be emptied%s', n.slot,
                  coalesce(format(': process %s uses it', u.pids), '')),
           case when u.pids is null then 'See the checks worker and failure, and the server''s log.'
               else 'Let it end its transaction: until then the log keeps what it should have dropped.' end
    from generate_series(0, 31) as n (slot)
    cross join (select current_setting('herald.retention')::interval as retention) r
    left join lateral (
        select string_agg(distinct l.pid::text, ', ') as pids from pg_locks l
        where l.relation = format('herald_internal.event_%s', n.slot)::regclass and l.pid <> pg_backend_pid()
        and l.pid is distinct from herald_internal.worker_pid()
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
    ) u on true
    where herald_internal.is_event_slot_over(n.slot::smallint,
                                             r.retention + greatest(r.retention / 29, interval '10 min'))
$$;
