-- Sends events from the log: those since a time to a new subscription, or a range again.

-- Returns the smallest uid of an event recorded at this time: uids begin with the milliseconds since 1970.
create function herald_internal.uid_at(at timestamptz) returns uuid
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return (case
        when at <= '1970-01-01' then '00000000-0000-0000-0000-000000000000'
        when at >= '5000-01-01' then 'ffffffff-ffff-ffff-ffff-ffffffffffff'
        else rpad(lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0'), 32, '0')
    end)::uuid;

-- Returns when an event was recorded, to the millisecond.
create function herald_internal.recorded_at(uid uuid) returns timestamptz
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return to_timestamp(('x' || left(replace(uid::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

-- Makes pending what the log holds for a new subscription since a time: exactly the events that the worker does not
-- give it, as they were visible when it was created.
-- Called by subscribe(). Writes: herald.pending.
create function herald_internal.send_from_log(subscription_id bigint, since timestamptz) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at, order_key, order_at,
                                deliver_at, created_at)
    select s.id, e.slot, e.seq, w.next_attempt_at, w.order_key, w.order_at, w.deliver_at, w.created_at
    -- Read once, and not for each event.
    from (
        select t.*, herald_internal.selection_of(t) as selection
        from herald_internal.subscription t
        where t.id = $1
        offset 0) s
    join herald.event e
        on e.uid >= herald_internal.uid_at($2)
        and (e.origin <> herald_internal.origin()
            or not herald_internal.was_there(s.created_xid, s.created_snapshot, s.created_seq, e.xid, e.seq))
        and herald_internal.matches(s.types, s.tenant, e.type, e.tenant)
        and (s.selection is null or herald_internal.gets(s.selection, e))
    cross join lateral herald_internal.place_of(
        s.options ->> 'ordering', e.tenant, e.source, e.key, e.seq, e.deliver_at) w;
    select herald_internal.changed('pending', $1);
$$;

-- Returns a lower bound for the numbers of events that are not visible now, as the last opened window tells.
-- Called by subscribe(), before it creates the subscription.
create function herald_internal.log_floor() returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select w.next_floor_seq
        from herald_internal.window w
        where w.state = 'open' and w.origin = herald_internal.origin()
        order by w.number desc
        limit 1), 0)
$$;

-- Stops the worker from reading the log until this transaction ends.
-- Called by finish_start() only.
create function herald_internal.keep_from_reading() returns void
    language c
    as 'MODULE_PATHNAME', 'keep_from_reading_wrapper';

-- New subscriptions that start from the log, until their transaction commits.
create table herald_internal.starting (
    subscription_id bigint not null primary key,
    floor_seq bigint not null
);

-- Makes pending what became visible between subscribe(start_from => ...) and its commit, and has the worker give it
-- what becomes visible from now on. The log is not read meanwhile, so that no event falls between the two. Runs at
-- commit, so that an open transaction delays nobody.
-- Called at commit. Writes: herald.pending, herald_internal.subscription, herald_internal.starting.
create function herald_internal.finish_start() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform herald_internal.keep_from_reading();
    -- One statement, so that both parts use the same snapshot.
    with moved as (
        update herald_internal.subscription s
        set created_snapshot = pg_current_snapshot()
        where s.id = new.subscription_id
    )
    insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at, order_key, order_at,
                                deliver_at, created_at)
    select s.id, e.slot, e.seq, w.next_attempt_at, w.order_key, w.order_at, w.deliver_at, w.created_at
    -- Read once, and not for each event.
    from (
        select t.*, herald_internal.selection_of(t) as selection
        from herald_internal.subscription t
        where t.id = new.subscription_id
        offset 0) s
    join herald.event e
        on e.seq > new.floor_seq
        and e.origin = herald_internal.origin()
        and e.xid <> s.created_xid
        and herald_internal.was_there(s.created_xid, s.created_snapshot, s.created_seq, e.xid, e.seq)
        and herald_internal.matches(s.types, s.tenant, e.type, e.tenant)
        and (s.selection is null or herald_internal.gets(s.selection, e))
    cross join lateral herald_internal.place_of(
        s.options ->> 'ordering', e.tenant, e.source, e.key, e.seq, e.deliver_at) w
    on conflict do nothing;
    delete from herald_internal.starting t where t.subscription_id = new.subscription_id;
    return null;
end
$$;

create constraint trigger finish after insert on herald_internal.starting
    deferrable initially deferred for each row execute function herald_internal.finish_start();

-- Raises an error if a tenant's role wants to replay more than its plan allows.
create function herald_internal.check_replay(tenant text, since timestamptz) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    allowed herald.plan;
begin
    if herald_internal.tenants_of(herald_internal.caller()) is null then
        return;
    end if;
    select p.* into allowed
    from herald.tenant t join herald.plan p on p.name = t.plan
    where t.name = check_replay.tenant;
    if since < clock_timestamp() - allowed.replay_window then
        raise exception using errcode = 'insufficient_privilege',
            message = format('plan "%s" does not replay that far back', allowed.name),
            detail = format('Its replay_window is %s.', allowed.replay_window),
            hint = case when allowed.replay_window > interval '0'
                then format('Give a time that is not before %s.',
                            date_trunc('second', clock_timestamp() - allowed.replay_window) + interval '1 s')
                else 'Dead letters can be sent again: see herald.redeliver_dead_letters().' end;
    end if;
end
$$;

-- Sends a range of the log again: the events recorded in it that match the subscription.
-- "only": all; failed (they are dead letters); missing (no attempt delivered them, and they are not pending).
-- "target": the subscription to send them to instead. "rate": how many of them are due in a time. Returns how many;
-- with dry_run, only counts them.
create function herald_internal._replay(
    subscription text, since timestamptz, until timestamptz default null, types text[] default null,
    "only" text default 'all', target text default null, dry_run boolean default false, rate text default null
)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald_internal.subscription := herald_internal.find_subscription(subscription);
    receiver constant herald_internal.subscription :=
        case when target is null then entry else herald_internal.find_subscription(target) end;
    selection constant text := herald_internal.selection_of(entry);
    spacing constant interval := herald_internal.spacing(receiver, rate);
    slots smallint[];
    seqs bigint[];
begin
    if since is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'since is null',
            hint = 'Give a time, for example now() - interval ''1 hour''.';
    end if;
    perform herald_internal.check_replay(entry.tenant, since);
    if "only" not in ('all', 'failed', 'missing') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown only "%s"', "only"),
            hint = 'Use all, failed or missing.';
    end if;
    if not herald_internal.are_types(types) then
        raise exception using errcode = 'invalid_parameter_value', message = 'invalid types',
            detail = 'They are 1 to 1000 globs of event types, none of them null or empty.',
            hint = 'Write types => ''{order.*,invoice.paid}''.';
    end if;
    select array_agg(e.slot order by e.seq), array_agg(e.seq order by e.seq) into slots, seqs
    from herald.event e
    where e.uid >= herald_internal.uid_at(since) and e.uid < herald_internal.uid_at(coalesce(until, 'infinity'))
    and herald_internal.matches(entry.types, entry.tenant, e.type, e.tenant)
    and (selection is null or herald_internal.gets(selection, e))
    and herald_internal.matches(coalesce(types, entry.types), receiver.tenant, e.type, e.tenant)
    and case "only"
        when 'failed' then exists (
            select from herald_internal.dead_letter d where d.event_seq = e.seq and d.subscription_id = entry.id)
        when 'missing' then
            not exists (
                select from herald_internal.attempt a
                where a.event_seq = e.seq and a.subscription_id = entry.id and a.outcome = 'delivered')
            and not exists (
                select from herald.pending p where p.event_seq = e.seq and p.subscription_id = entry.id)
        else true
    end;
    if seqs is null then
        return 0;
    elsif dry_run then
        return cardinality(seqs);
    end if;
    return herald_internal._redeliver(receiver.id, slots, seqs, spacing);
end
$$;
