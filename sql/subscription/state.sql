-- A subscription's life after subscribe(): paused, resumed, ended.

-- Returns the subscription of this name or id, locked, as it is then: the worker may disable it, and others may change
-- it, at any moment.
-- Called by functions that change its state.
create function herald_internal.take_subscription(subscription text) returns herald_internal.subscription
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry herald_internal.subscription := herald_internal.find_subscription(subscription);
begin
    select s.* into entry from herald_internal.subscription s where s.id = entry.id and s.removed_at is null for update;
    if not found then
        -- It was ended meanwhile: raises the error.
        entry := herald_internal.find_subscription(subscription);
    end if;
    return entry;
end
$$;

-- Changes a subscription's state.
-- Called by apply(), pause(), resume(), by UPDATE of herald.subscription. Writes: herald_internal.subscription.
create function herald_internal.set_state(entry herald_internal.subscription, state text, reason text) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald_internal.subscription s
    set state = set_state.state, state_reason = set_state.reason, state_changed_at = clock_timestamp(),
        is_sandbox = case set_state.state when 'active' then false when 'sandbox' then true else s.is_sandbox end,
        changed_at = clock_timestamp()
    where s.id = (entry).id;
$$;

-- Resumes a subscription in the state active or sandbox, and redelivers its dead letters since a time. Returns the
-- number of these.
-- Called by resume(), by UPDATE of herald.subscription. Writes: herald_internal.subscription, herald.pending,
-- herald_internal.dead_letter.
create function herald_internal.set_going(
    entry herald_internal.subscription, state text, redeliver_dead_since timestamptz, rate text default null
)
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    spacing constant interval := herald_internal.spacing(entry, rate);
    began timestamptz;
    how_many bigint := 0;
begin
    perform herald_internal.set_state(
        entry, state,
        case state when 'sandbox' then format('resumed as a sandbox by %s', herald_internal.caller()) end);
    -- What a member of a group missed, the others got.
    if entry.state = 'disabled' and not entry.options ? 'split' then
        raise notice using
            message = format('subscription "%s" missed what happened since %s', entry.name, entry.state_changed_at),
            hint = format('Run: select herald.replay(%L, since => %L, "only" => ''missing'');',
                          entry.name, entry.state_changed_at);
    end if;
    if redeliver_dead_since is not null then
        how_many := herald_internal._redeliver_dead_letters(entry.name, redeliver_dead_since);
    end if;
    if spacing is not null then
        -- What is due leaves one after another; what waits for a retry waits on.
        began := clock_timestamp();
        update herald.pending p
        set next_attempt_at = began + (d.place - 1) * spacing
        from (
            select q.event_seq, row_number() over (order by q.event_seq) as place
            from herald.pending q
            where q.subscription_id = entry.id and q.next_attempt_at <= began
        ) d
        where p.subscription_id = entry.id and p.event_seq = d.event_seq;
        perform herald_internal.changed('pending', entry.id);
    end if;
    return how_many;
end
$$;

-- Holds a subscription's deliveries until resume(): events are still matched and kept.
create function herald_internal._pause(subscription text)
    returns table (name text, state text, backlog bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald_internal.subscription := herald_internal.take_subscription($1);
begin
    if entry.state = 'disabled' then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('subscription "%s" is disabled', entry.name), detail = entry.state_reason,
            hint = format('Run: select * from herald.resume(%L);', entry.name);
    end if;
    perform herald_internal.set_state(entry, 'paused', format('paused by %s', herald_internal.caller()));
    return query select entry.name, 'paused',
        (select count(*) from herald.pending p where p.subscription_id = entry.id);
end
$$;

-- Resumes a paused or disabled subscription, and with redeliver_dead_since redelivers its dead letters since then. A
-- sandbox stays a sandbox. With a rate, so many of what waits are due in a time.
create function herald_internal._resume(
    subscription text, redeliver_dead_since timestamptz default null, rate text default null
)
    returns table (name text, state text, backlog bigint, redelivered bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald_internal.subscription := herald_internal.take_subscription($1);
    wanted_state constant text := case when entry.is_sandbox then 'sandbox' else 'active' end;
    how_many bigint;
begin
    how_many := herald_internal.set_going(entry, wanted_state, $2, $3);
    if wanted_state = 'sandbox' then
        raise notice using message = format('subscription "%s" is a sandbox: nothing is sent', entry.name),
            hint = format('To send, run: update herald.subscription set state = ''active'' where name = %L;',
                          entry.name);
    end if;
    return query select entry.name, wanted_state,
                        (select count(*) from herald.pending p where p.subscription_id = entry.id), how_many;
end
$$;

-- Ends a subscription. Its open deliveries become dead letters; its history stays under its name.
create function herald_internal._unsubscribe(subscription text)
    returns table (name text, buried bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald_internal.subscription := herald_internal.take_subscription($1);
begin
    update herald_internal.subscription s
    set removed_at = clock_timestamp(), state = 'disabled',
        state_reason = format('unsubscribed by %s', herald_internal.caller()), state_changed_at = clock_timestamp()
    where s.id = entry.id;
    delete from herald.secret x where x.subscription_id = entry.id;
    delete from herald_internal.blocking_letter b where b.subscription_id = entry.id;
    return query select entry.name, herald_internal.bury_pending(entry.id, 'unsubscribed');
end
$$;
