-- Order: which pending deliveries follow each other, what they wait for, and how to go on without it.

-- Returns why a parked delivery waits.
-- Called by _why().
create function herald_internal.order_obstacle(subscription_id bigint, event_seq bigint) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select case
        when d.event_seq is not null
            then format('ordering: the dead letter of event "%s" holds its key; send it again or skip it',
                        coalesce(g.id, g.uid::text, '?'))
        when f.event_seq = p.event_seq then 'ordering: its turn has come'
        else format('ordering: it waits behind %s of its key; the first, event "%s", %s',
                    case when b.ahead > 1000 then 'over 1000' else b.ahead::text end, coalesce(e.id, e.uid::text, '?'),
                    case when f.blocks_since is null then 'has its turn'
                        else format('has failed since %s and is tried again at %s', f.blocks_since, f.next_attempt_at)
                    end)
    end
    from herald.pending p
    cross join lateral (
        select q.* from herald.pending q
        where q.subscription_id = p.subscription_id and q.order_key = p.order_key
        order by q.order_at, q.event_seq
        limit 1
    ) f
    cross join lateral (
        select count(*) as ahead
        from (
            select from herald.pending q
            where q.subscription_id = p.subscription_id and q.order_key = p.order_key
            and (q.order_at, q.event_seq) < (p.order_at, p.event_seq)
            limit 1001
        ) q
    ) b
    left join lateral herald_internal.event_at(f.event_slot, f.event_seq) e on true
    left join lateral (
        select l.* from herald_internal.blocking_letter l
        where l.subscription_id = p.subscription_id and l.order_key = p.order_key
        and (l.order_at, l.event_seq) < (p.order_at, p.event_seq)
        order by l.order_at, l.event_seq
        limit 1
    ) d on true
    left join lateral herald_internal.event_at(d.event_slot, d.event_seq) g on true
    where p.subscription_id = $1 and p.event_seq = $2
$$;

-- Gives up the delivery that blocks a key: it becomes a dead letter, and those behind it are sent, as they are if it is
-- one already. Returns it, and how many waited behind it. Without a key, for an order of all deliveries.
-- Writes: herald.pending, herald_internal.dead_letter, herald_internal.blocking_letter, herald_internal.config_change.
create function herald_internal._skip(subscription text, key text default null, source text default null)
    returns table (event_id text, attempts integer, waiting bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald_internal.subscription := herald_internal.find_subscription($1);
    ordering constant text := coalesce(entry.options ->> 'ordering', 'none');
    sources text[];
    first record;
    gone herald.pending;
begin
    if ordering = 'none' then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('subscription "%s" is not ordered', entry.name),
            detail = 'Its ordering is none: no delivery waits behind another one.',
            hint = format('To give up its pending deliveries, run: select herald.discard(%L);', entry.name);
    elsif $2 is null and ordering = 'key' then
        raise exception using errcode = 'null_value_not_allowed', message = 'key is null',
            hint = format('Run: select herald.skip(%L, key) from herald.blocked_key where subscription = %1$L;',
                          entry.name);
    end if;
    select array_agg(distinct b.source order by b.source) into sources
    from herald_internal.all_blocked_key b
    where b.subscription_id = entry.id and ($2 is null or b.key = $2) and ($3 is null or b.source = $3);
    if sources is null then
        raise exception using errcode = 'undefined_object',
            message = format('nothing blocks %s of subscription "%s"',
                             coalesce(format('key "%s"', left($2, 100)), 'the deliveries'), entry.name),
            detail = 'No delivery of it has failed and waits to be tried again, and no dead letter holds it.',
            hint = format('See: select * from herald.blocked_key where subscription = %L;', entry.name);
    elsif cardinality(sources) > 1 and ordering = 'key' then
        raise exception using errcode = 'ambiguous_alias',
            message = format('key "%s" is ambiguous', left($2, 100)),
            detail = format('It is blocked for the sources %s.',
                            (select string_agg(format('"%s"', s), ', ') from unnest(sources) s)),
            hint = format('Run: select herald.skip(%L, %L, source => %L);', entry.name, left($2, 100), sources[1]);
    end if;
    select b.event_id, b.event_seq, b.attempts, b.waiting into first
    from herald_internal.all_blocked_key b
    where b.subscription_id = entry.id and ($2 is null or b.key = $2) and ($3 is null or b.source = $3)
    -- A dead letter comes first, and the first of them.
    order by b.state, b.since
    limit 1;
    delete from herald_internal.blocking_letter b
    where b.subscription_id = entry.id and b.event_seq = first.event_seq;
    if not found then
        delete from herald.pending p where p.subscription_id = entry.id and p.event_seq = first.event_seq
        returning p.* into gone;
        if not found then
            -- It ended meanwhile.
            return;
        end if;
        perform herald_internal.bury(
            array[entry.id], array[gone.event_slot], array[gone.event_seq], array['discarded'], array[gone.attempts],
            array[gone.created_at], 'skipped');
    end if;
    perform herald_internal.changed('pending', entry.id);
    return query select first.event_id, first.attempts, first.waiting;
end
$$;
