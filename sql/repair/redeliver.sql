-- Sends deliveries again by hand, and gives them up. Whatever is sent goes through herald.pending.

-- Returns the number that the deliveries of a key have in common, with this ordering; null if none follow each other.
create function herald_internal.order_key(ordering text, tenant text, source text, key text) returns bigint
    language c immutable
    as 'MODULE_PATHNAME', 'order_key_wrapper';

-- Returns where an event of the log waits in herald.pending: due now, or parked until others of its key are over or
-- until its time. What is scheduled is always released, as it may be cancelled. Has no search_path and is stable, so
-- that the planner inlines it.
create function herald_internal.place_of(
    ordering text, tenant text, source text, key text, "number" bigint, at timestamptz
)
    returns table (next_attempt_at timestamptz, order_key bigint, order_at bigint, deliver_at timestamptz,
                   created_at timestamptz)
    language sql stable
as $$
    select case when $6 is null and k.order_key is null then pg_catalog.clock_timestamp() else 'infinity' end,
           k.order_key, case when k.order_key is not null then $5 end, $6,
           greatest($6, pg_catalog.clock_timestamp())
    from (select case when $6 is null then herald_internal.order_key($1, $2, $3, $4) end) k (order_key)
$$;

-- Returns the time between two deliveries at a rate; null for no rate. Raises an error if they follow each other, as
-- then their order says when they leave.
-- Called by _replay(), set_going().
create function herald_internal.spacing(entry herald_internal.subscription, rate text) returns interval
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if rate is null then
        return null;
    elsif coalesce(entry.options ->> 'ordering', 'none') <> 'none' then
        raise exception using errcode = 'feature_not_supported',
            message = format('subscription "%s" is ordered, and takes no rate here', entry.name),
            detail = 'Its deliveries leave one after another in their keys.',
            hint = format('Run: update herald.subscription set rate_limit = %L where name = %L;', rate, entry.name);
    end if;
    return make_interval(secs => herald_internal.rate_seconds(rate));
end
$$;

create function herald_internal.rate_seconds(rate text) returns double precision
    language c immutable strict
    as 'MODULE_PATHNAME', 'rate_seconds_wrapper';

-- Puts deliveries into herald.pending, due now, or one after another with this time in between, with the retry schedule
-- at its start. Dead letters come back. With an ordering, they follow what is there already.
-- Called by redeliver(), replay(), redeliver_dead_letters(). Writes: herald.pending, herald_internal.dead_letter,
-- herald_internal.blocking_letter.
create function herald_internal._redeliver(
    subscription_id bigint, slots smallint[], seqs bigint[], spacing interval default null
)
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    ordering constant text := (
        select nullif(s.options ->> 'ordering', 'none') from herald_internal.subscription s
        where s.id = _redeliver.subscription_id);
    -- After all events that there are, and before the next.
    next_number constant bigint := (
        select case when s.is_called then s.last_value + 1 else 1 end from herald_internal.event_seq s);
    how_many bigint;
begin
    insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at, attempts, last_attempt_at,
                                duration_ms, status_code, error_class, order_key, order_at, deliver_at, created_at)
    select subscription_id, e.slot, e.seq,
           coalesce(w.next_attempt_at, clock_timestamp()) + coalesce((e.place - 1) * spacing, '0'),
           greatest(a.attempt, d.attempts, 0), coalesce(a.at, d.last_attempt_at), a.duration_ms, a.status_code,
           a.error_class, w.order_key, w.order_at, w.deliver_at,
           coalesce(w.created_at, clock_timestamp()) + coalesce((e.place - 1) * spacing, '0')
    from unnest(slots, seqs) with ordinality as e (slot, seq, place)
    left join herald_internal.dead_letter d on d.subscription_id = _redeliver.subscription_id and d.event_seq = e.seq
    left join lateral (
        select t.attempt, t.at, t.duration_ms, t.status_code, t.error_class
        from herald_internal.attempt t
        where t.event_seq = e.seq and t.subscription_id = _redeliver.subscription_id
        order by t.at desc
        limit 1
    ) a on true
    -- One that holds its key is the first of it.
    left join herald_internal.blocking_letter b
        on b.subscription_id = _redeliver.subscription_id and b.event_seq = e.seq
    left join lateral (
        select w.*
        from herald_internal.event_at(e.slot, e.seq) v
        cross join lateral herald_internal.place_of(
            ordering, v.tenant, v.source, v.key, coalesce(b.order_at, next_number),
            -- Not before its time.
            case when v.deliver_at > clock_timestamp() then v.deliver_at end) w
    ) w on true
    where not exists (select from herald_internal.cancelled c where c.event_seq = e.seq)
    -- One that waits behind others goes on waiting.
    on conflict on constraint pending_pkey do update
        set next_attempt_at = case
                when pending.next_attempt_at = 'infinity' then 'infinity'
                -- It has no place in the order, as it was pending before.
                when pending.order_key is null and excluded.next_attempt_at = 'infinity'
                    and excluded.deliver_at is null then clock_timestamp()
                else excluded.next_attempt_at
            end,
            deliver_at = coalesce(pending.deliver_at, excluded.deliver_at),
            step = 0, blocks_since = null;
    get diagnostics how_many = row_count;
    delete from herald_internal.dead_letter d
    where d.subscription_id = _redeliver.subscription_id and d.event_seq = any (seqs);
    delete from herald_internal.blocking_letter b
    where b.subscription_id = _redeliver.subscription_id and b.event_seq = any (seqs);
    perform herald_internal.changed('pending', _redeliver.subscription_id);
    return how_many;
end
$$;

-- Sends one event to one subscription again, whatever became of it. The webhook-id stays the same.
create function herald_internal._redeliver(subscription text, event_id text)
    returns table (delivery_id text, state text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald_internal.subscription := herald_internal.find_subscription($1);
    event constant herald.event := herald_internal.find_event($2);
begin
    if entry.tenant <> coalesce(event.tenant, '') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('event "%s" is not one of the subscription''s tenant', $2),
            detail = format('The event is of %s, the subscription of tenant "%s".',
                            coalesce(format('tenant "%s"', event.tenant), 'no tenant'), entry.tenant),
            hint = 'A tenant''s events never go to another tenant.';
    end if;
    if exists (select from herald_internal.cancelled c where c.event_seq = event.seq) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('event "%s" was cancelled', left($2, 100)),
            detail = 'It was scheduled, and herald.cancel() cancelled it before its time.',
            hint = 'Emit another event.';
    end if;
    -- Dead letters and pending deliveries are unfinished; resending a delivered event is a replay.
    if not exists (
            select from herald_internal.dead_letter d where d.subscription_id = entry.id and d.event_seq = event.seq)
        and not exists (select from herald.pending p where p.subscription_id = entry.id and p.event_seq = event.seq)
    then
        perform herald_internal.check_replay(entry.tenant, herald_internal.recorded_at(event.uid));
    end if;
    perform herald_internal._redeliver(entry.id, array[event.slot], array[event.seq]);
    return query select format('%s/%s', entry.id, event.seq),
        case when entry.state in ('active', 'sandbox') then 'pending' else 'held' end;
end
$$;

-- Sends dead letters again, of one subscription or, if null, of all that are the caller's. Returns how many.
create function herald_internal._redeliver_dead_letters(
    subscription text, since timestamptz default null, until timestamptz default null, reason text default null
)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    own constant text[] := herald_internal.tenants_of(herald_internal.caller());
    only_id bigint;
    letters record;
    how_many bigint := 0;
begin
    if reason not in ('exhausted', 'permanent_status', 'gone', 'too_large', 'expired', 'unsubscribed', 'discarded',
                      'poison', 'quota')
    then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown reason "%s"', reason),
            hint = 'It is exhausted, permanent_status, gone, too_large, expired, unsubscribed, discarded, '
                   'poison or quota.';
    end if;
    if subscription is not null then
        only_id := (herald_internal.find_subscription(subscription)).id;
    end if;
    for letters in
        select s.id, array_agg(d.event_slot order by d.event_seq) as slots,
               array_agg(d.event_seq order by d.event_seq) as seqs
        from herald_internal.subscription s
        join herald_internal.dead_letter d on d.subscription_id = s.id
        where s.removed_at is null and (only_id is null or s.id = only_id)
        and (own is null or s.is_tenants and s.tenant = any (own))
        and d.failed_at between coalesce(_redeliver_dead_letters.since, '-infinity')
            and coalesce(_redeliver_dead_letters.until, 'infinity')
        and (_redeliver_dead_letters.reason is null or d.reason = _redeliver_dead_letters.reason)
        group by s.id
    loop
        how_many := how_many + herald_internal._redeliver(letters.id, letters.slots, letters.seqs);
    end loop;
    return how_many;
end
$$;

-- Drops an unwanted backlog: the subscription's pending deliveries become dead letters, on record.
create function herald_internal._discard(subscription text, until timestamptz default null, reason text default null)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald_internal.subscription := herald_internal.find_subscription(subscription);
    how_many bigint;
begin
    -- Every dead letter stores it.
    if length(reason) > 200 then
        raise exception using errcode = 'invalid_parameter_value', message = 'reason is too long',
            detail = format('It has %s characters; at most 200 are allowed.', length(reason)),
            hint = 'Shorten it, or refer to a longer text by its address.';
    end if;
    how_many := herald_internal.bury_pending(entry.id, 'discarded', coalesce(until, clock_timestamp()), reason);
    perform herald_internal.changed('pending', entry.id);
    return how_many;
end
$$;

-- Deletes dead letters before their retention ends. Returns how many.
create function herald_internal._purge_dead_letters(older_than interval, subscription text default null)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    own constant text[] := herald_internal.tenants_of(herald_internal.caller());
    entry herald_internal.subscription;
    how_many bigint;
begin
    if older_than is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'older_than is null',
            hint = 'Run: select herald.purge_dead_letters(older_than => ''30 days'');';
    end if;
    perform herald_internal.check_span('older_than', older_than, '0', '100 years',
                                       'Use older_than => ''0'' to delete all.');
    if subscription is not null then
        entry := herald_internal.find_subscription(subscription);
    end if;
    delete from herald_internal.dead_letter d
    where d.failed_at < clock_timestamp() - older_than and (entry.id is null or d.subscription_id = entry.id)
    and (own is null or d.subscription_id in (
        select s.id from herald_internal.subscription s where s.is_tenants and s.tenant = any (own)));
    get diagnostics how_many = row_count;
    return how_many;
end
$$;
