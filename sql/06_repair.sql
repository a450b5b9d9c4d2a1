-- Repair: what somebody does by hand. Everything that goes on from here goes through herald.pending.

create function herald._matches(types text[], event_type text) returns boolean
    language c immutable strict
    as 'MODULE_PATHNAME', 'matches_wrapper';

-- Whether an event goes to a subscription that did not get it yet, as far as type, tenant and creation say.
-- Called by wait(), resume_after_restore(). The worker asks its own matcher, which says the same.
create function herald._is_for(subscription herald._subscription, event herald.event) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select s.removed_at is null and s.state <> 'disabled'
        and (s.tenant is null or s.tenant = e.tenant)
        and herald._matches(s.types, e.type)
        and case when e.xid = s.created_xid then e.seq > s.created_seq
            else not pg_visible_in_snapshot(e.xid, s.created_snapshot) end
    from (select (subscription).*) s, (select (event).*) e
$$;

-- The subscription of this name or id; an error names the nearest one.
create function herald._find_subscription(subscription text) returns herald._subscription
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    found_one herald._subscription;
begin
    if subscription is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the subscription is null',
            hint = 'Give its name or id. See: select * from herald.status();';
    end if;
    select s.* into found_one
    from herald._subscription s
    where s.removed_at is null and (s.name = subscription or s.id::text = subscription)
    order by s.name = subscription desc
    limit 1;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('subscription "%s" does not exist', subscription),
            hint = coalesce(
                (select herald._perhaps(subscription, array_agg(s.name))
                 from herald._subscription s where s.removed_at is null),
                'See: select * from herald.status();');
    end if;
    return found_one;
end
$$;

-- The event of this id or uid, wherever it is kept; an error lists the sources of an ambiguous id.
create function herald._find_event(event_id text) returns herald.event
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    found_one herald.event;
    known herald.emitted;
    how_many bigint;
    sources text;
begin
    if event_id is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the event id is null',
            hint = 'Give an id or a uid. See: select uid, type, time from herald.event order by seq desc limit 10;';
    end if;
    if event_id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
        select v.* into found_one
        from (
            select e.* from herald.event e where e.uid = event_id::uuid
            union all
            select h.* from herald.held_event h where h.uid = event_id::uuid
        ) v
        limit 1;
        if found then
            return found_one;
        end if;
    end if;
    select count(*), string_agg(format('"%s"', e.source), ', ' order by e.source) into how_many, sources
    from herald.emitted e where e.id = event_id;
    if how_many > 1 then
        raise exception using
            errcode = 'ambiguous_alias',
            message = format('event id "%s" is ambiguous', event_id),
            detail = format('It was emitted by the sources %s.', sources),
            hint = format('Use a uid: select source, uid from herald.emitted where id = %L;', event_id);
    end if;
    if how_many = 1 then
        select e.* into known from herald.emitted e where e.id = event_id;
        select v.* into found_one
        from (
            select e.* from herald.event e where e.slot = known.slot and e.seq = known.seq
            union all
            select h.* from herald.held_event h where h.seq = known.seq
        ) v
        limit 1;
        if found then
            return found_one;
        end if;
    end if;
    raise exception using
        errcode = 'undefined_object',
        message = format('event "%s" does not exist', event_id),
        detail = case how_many
            when 1 then 'It was emitted, and its retention has ended.'
            else 'No event in the log has this id or uid.' end,
        hint = coalesce(
            (select herald._perhaps(event_id, array_agg(e.id))
             from (select r.id from herald.emitted r order by r.at desc limit 10000) e),
            'See: select uid, type, time from herald.event order by seq desc limit 10;');
end
$$;

-- Puts deliveries into herald.pending, due now, with the retry schedule from its start. What was dead comes back.
-- Called by redeliver(), replay(), redeliver_dead_letters(). Writes: herald.pending, herald.dead_letter.
create function herald._redeliver(subscription_id bigint, slots smallint[], seqs bigint[]) returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    how_many bigint;
begin
    insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at, attempts)
    select subscription_id, e.slot, e.seq, clock_timestamp(),
           greatest(
               coalesce((select max(a.attempt) from herald._attempt a
                         where a.event_seq = e.seq and a.subscription_id = _redeliver.subscription_id), 0),
               coalesce((select d.attempts from herald.dead_letter d
                         where d.event_seq = e.seq and d.subscription_id = _redeliver.subscription_id), 0))
    from unnest(slots, seqs) as e (slot, seq)
    on conflict on constraint pending_pkey do update set next_attempt_at = excluded.next_attempt_at, step = 0;
    get diagnostics how_many = row_count;
    delete from herald.dead_letter d
    where d.subscription_id = _redeliver.subscription_id and d.event_seq = any (seqs);
    perform herald._changed('pending');
    return how_many;
end
$$;

-- Sends one event to one subscription again, whatever became of it. The webhook-id stays the same.
create function herald.redeliver(subscription text, event_id text)
    returns table (delivery_id text, state text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._find_subscription($1);
    event constant herald.event := herald._find_event($2);
begin
    if event.tenant is distinct from entry.tenant and entry.tenant is not null then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('event "%s" is not one of the subscription''s tenant', $2),
            detail = format('The event is of %s, the subscription of tenant "%s".',
                            coalesce(format('tenant "%s"', event.tenant), 'no tenant'), entry.tenant),
            hint = 'A tenant''s events never go to another tenant.';
    end if;
    perform herald._redeliver(entry.id, array[event.slot], array[event.seq]);
    return query select format('%s/%s', entry.id, event.seq), case when entry.state = 'active' then 'pending' else 'held' end;
end
$$;

-- Sends dead letters again. Returns how many.
create function herald.redeliver_dead_letters(
    subscription text, since timestamptz default '-infinity', until timestamptz default 'infinity', reason text default null
)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald._subscription := herald._find_subscription(subscription);
    slots smallint[];
    seqs bigint[];
begin
    if reason not in ('exhausted', 'permanent_status', 'gone', 'too_large', 'expired', 'unsubscribed', 'discarded', 'poison') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown reason "%s"', reason),
            hint = 'It is exhausted, permanent_status, gone, too_large, expired, unsubscribed, discarded or poison.';
    end if;
    select array_agg(d.event_slot), array_agg(d.event_seq) into slots, seqs
    from herald.dead_letter d
    where d.subscription_id = entry.id
    and d.failed_at >= redeliver_dead_letters.since and d.failed_at <= redeliver_dead_letters.until
    and (redeliver_dead_letters.reason is null or d.reason = redeliver_dead_letters.reason);
    if seqs is null then
        return 0;
    end if;
    return herald._redeliver(entry.id, slots, seqs);
end
$$;

-- The smallest uid of an event that was recorded at this time: uids begin with the milliseconds since 1970.
create function herald._uid_at(at timestamptz) returns uuid
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return (case
        when at <= '1970-01-01' then '00000000-0000-0000-0000-000000000000'
        when at >= '5000-01-01' then 'ffffffff-ffff-ffff-ffff-ffffffffffff'
        else rpad(lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0'), 32, '0')
    end)::uuid;

-- Makes pending what the log holds for a new subscription since a time: exactly the events that the worker does not
-- give it by itself, as they were visible when it was created.
-- Called by subscribe(). Writes: herald.pending.
create function herald._send_from_log(subscription_id bigint, since timestamptz) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at)
    select s.id, e.slot, e.seq, clock_timestamp()
    from herald._subscription s
    join herald.event e
        on e.uid >= herald._uid_at($2)
        and (s.tenant is null or e.tenant = s.tenant)
        and herald._matches(s.types, e.type)
        and (e.origin <> herald._origin()
            or e.xid = s.created_xid and e.seq <= s.created_seq
            or e.xid <> s.created_xid and pg_visible_in_snapshot(e.xid, s.created_snapshot))
    where s.id = $1;
    select herald._changed('pending');
$$;

-- Sends a range of the log again: the events that were recorded in it and match the subscription.
-- "only": all; failed (they are dead letters); missing (no attempt delivered them, and they are not pending).
-- "target": send them to this subscription instead. Returns how many; with dry_run nothing else happens.
create function herald.replay(
    subscription text, since timestamptz, until timestamptz default null, types text[] default null,
    "only" text default 'all', target text default null, dry_run boolean default false
)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald._subscription := herald._find_subscription(subscription);
    receiver constant herald._subscription := case when target is null then entry else herald._find_subscription(target) end;
    slots smallint[];
    seqs bigint[];
begin
    if since is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'since is null',
            hint = 'Give a time, for example now() - interval ''1 hour''.';
    end if;
    if "only" is null or "only" not in ('all', 'failed', 'missing') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown only "%s"', "only"),
            hint = 'It is all, failed or missing.';
    end if;
    select array_agg(e.slot order by e.seq), array_agg(e.seq order by e.seq) into slots, seqs
    from herald.event e
    where e.uid >= herald._uid_at(since) and e.uid < herald._uid_at(coalesce(until, 'infinity'))
    and herald._matches(entry.types, e.type)
    and (types is null or herald._matches(types, e.type))
    and (entry.tenant is null or e.tenant = entry.tenant)
    and (receiver.tenant is null or e.tenant = receiver.tenant)
    and case "only"
        when 'failed' then exists (
            select from herald.dead_letter d where d.event_seq = e.seq and d.subscription_id = entry.id)
        when 'missing' then
            not exists (
                select from herald._attempt a
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
    return herald._redeliver(receiver.id, slots, seqs);
end
$$;

-- Drops a backlog that nobody wants: what is pending for the subscription becomes dead letters, on record.
create function herald.discard(subscription text, until timestamptz default null, reason text default null)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald._subscription := herald._find_subscription(subscription);
    how_many bigint;
begin
    how_many := herald._bury_pending(entry.id, 'discarded', coalesce(until, clock_timestamp()), reason);
    perform herald._changed('pending');
    return how_many;
end
$$;

-- Deletes dead letters before their retention ends. Returns how many.
create function herald.purge_dead_letters(older_than interval, subscription text default null)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry herald._subscription;
    how_many bigint;
begin
    if subscription is not null then
        entry := herald._find_subscription(subscription);
    end if;
    delete from herald.dead_letter d
    where d.failed_at < clock_timestamp() - older_than and (entry.id is null or d.subscription_id = entry.id);
    get diagnostics how_many = row_count;
    return how_many;
end
$$;

-- Changes a subscription's state.
-- Called by pause(), resume(). Writes: herald._subscription.
create function herald._set_state(entry herald._subscription, state text, reason text) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald._subscription s
    set state = _set_state.state, state_reason = _set_state.reason, state_changed_at = clock_timestamp(),
        changed_at = clock_timestamp()
    where s.id = (entry).id;
    select herald._changed('subscription');
$$;

-- Holds a subscription's deliveries until resume(): events are matched and kept.
create function herald.pause(subscription text)
    returns table (name text, state text, backlog bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._find_subscription($1);
begin
    if entry.state = 'disabled' then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('subscription "%s" is disabled', entry.name), detail = entry.state_reason,
            hint = format('Run: select * from herald.resume(%L);', entry.name);
    end if;
    perform herald._set_state(entry, 'paused', format('paused by %s', herald._caller()));
    return query select entry.name, 'paused', (select count(*) from herald.pending p where p.subscription_id = entry.id);
end
$$;

-- Sends a paused or disabled subscription's deliveries again, and with redeliver_dead_since its dead letters since then.
create function herald.resume(subscription text, redeliver_dead_since timestamptz default null)
    returns table (name text, state text, backlog bigint, redelivered bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._find_subscription($1);
    how_many bigint := 0;
begin
    perform herald._set_state(entry, 'active', null);
    if redeliver_dead_since is not null then
        how_many := herald.redeliver_dead_letters(entry.name, redeliver_dead_since);
    elsif entry.state = 'disabled' then
        raise notice using
            message = format('subscription "%s" missed what happened since %s', entry.name, entry.state_changed_at),
            hint = format('Run: select herald.replay(%L, since => %L, "only" => ''missing'');', entry.name, entry.state_changed_at);
    end if;
    return query select entry.name, 'active',
                        (select count(*) from herald.pending p where p.subscription_id = entry.id), how_many;
end
$$;

-- Ends a subscription. Its open deliveries become dead letters; its history stays under its name.
create function herald.unsubscribe(subscription text)
    returns table (name text, buried bigint)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._find_subscription($1);
begin
    update herald._subscription s
    set removed_at = clock_timestamp(), state = 'disabled', state_reason = format('unsubscribed by %s', herald._caller()),
        state_changed_at = clock_timestamp()
    where s.id = entry.id;
    delete from herald.secret x where x.subscription_id = entry.id;
    perform herald._changed('subscription');
    return query select entry.name, herald._bury_pending(entry.id, 'unsubscribed');
end
$$;

-- Puts a new signing secret in front. Until "grace" is over requests carry signatures of the old ones too.
-- Returns the new secret, which is shown here and never again.
create function herald.rotate_secret(subscription text, secret text default null, grace interval default '24 hours')
    returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry constant herald._subscription := herald._find_subscription(subscription);
    new_secret constant text := coalesce(secret, herald._generate_secret());
begin
    if grace is null or grace < interval '0' then
        raise exception using errcode = 'invalid_parameter_value', message = 'grace is negative',
            hint = 'Use grace => ''0'' to stop signing with the old secret at once.';
    end if;
    perform herald._check_secret(new_secret);
    if (select count(*) from herald.secret x
        where x.subscription_id = entry.id and x.kind = 'signing'
        and (x.expires_at is null or x.expires_at > clock_timestamp())) >= 10
        and grace > interval '0'
    then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('subscription "%s" has 10 secrets already', entry.name),
            hint = 'Wait until a grace period is over, or use grace => ''0''.';
    end if;
    perform herald._replace_secret(entry.id, new_secret, grace);
    return new_secret;
end
$$;

create function herald._check_secret(secret text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_secret_wrapper';

create function herald._ping(subscription_id bigint, timeout_micros bigint,
                             out outcome text, out status_code integer, out error_class text, out error text,
                             out duration_ms double precision, out response text)
    returns setof record
    language c
    as 'MODULE_PATHNAME', 'ping_wrapper';

-- Sends one test request of the type herald.ping through the worker, and shows what came back. Nothing is recorded.
create function herald.ping(subscription text, timeout interval default '30 s')
    returns table (outcome text, status_code integer, error_class text, error text, duration_ms double precision, response text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._find_subscription($1);
begin
    return query select p.* from herald._ping(entry.id, herald._micros(coalesce($2, '30 s'))) p;
end
$$;

create function herald._preview(subscription_id bigint, event_slot smallint, event_seq bigint, show_secrets boolean,
                                out method text, out url text, out headers json, out body text)
    returns setof record
    language c
    as 'MODULE_PATHNAME', 'preview_wrapper';

-- Shows exactly what would be sent for this event to this subscription. Nothing is sent. Signature and the values of
-- the subscription's own headers are shown to superusers only.
create function herald.preview(subscription text, event_id text)
    returns table (method text, url text, headers jsonb, body text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald._subscription := herald._find_subscription($1);
    event constant herald.event := herald._find_event($2);
begin
    return query
    select p.method, p.url, p.headers::jsonb, p.body
    from herald._preview(entry.id, event.slot, event.seq,
                         (select r.rolsuper from pg_roles r where r.oid = herald._caller())) p;
end
$$;

-- Where the log was read to: the end of the longest run of closed windows.
-- Called by wait(), why(), doctor(). Reads: herald.window.
create function herald._cursor(out snapshot pg_snapshot, out seq bigint)
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    with opened as (
        select w.number, w.from_snapshot, w.to_snapshot, w.next_floor_seq, w.floor_seq,
               exists (select from herald.window c where c.slot = w.slot and c.number = w.number
                       and c.origin = w.origin and c.state = 'closed') as is_closed
        from herald.window w
        where w.state = 'open' and w.origin = herald._origin()
    ), first_open as (
        select o.* from opened o where not o.is_closed order by o.number limit 1
    ), last_closed as (
        select o.* from opened o order by o.number desc limit 1
    )
    select coalesce((select f.from_snapshot from first_open f), (select l.to_snapshot from last_closed l)),
           coalesce((select f.floor_seq from first_open f), (select l.next_floor_seq from last_closed l))
$$;

-- Waits until an event, or every event committed so far, is delivered or dead everywhere. Returns whether it is.
-- Meant for tests and deployments.
create function herald.wait(event_id text default null, timeout interval default '30 s')
    returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    until constant timestamptz := clock_timestamp() + timeout;
    start constant pg_snapshot := pg_current_snapshot();
    event herald.event;
    at_cursor record;
    is_done boolean;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = 'invalid_transaction_state',
            message = 'wait() cannot see progress in this transaction',
            detail = format('Its isolation level is %s.', current_setting('transaction_isolation')),
            hint = 'Call it in a transaction of the level read committed.';
    end if;
    if event_id is not null then
        event := herald._find_event(event_id);
        if event.xid = pg_current_xact_id_if_assigned() then
            raise exception using errcode = 'invalid_transaction_state',
                message = 'wait() cannot wait for an event of its own transaction',
                hint = 'Commit first.';
        end if;
    end if;
    loop
        select c.* into at_cursor from herald._cursor() c;
        if event_id is not null then
            is_done := (pg_visible_in_snapshot(event.xid, at_cursor.snapshot) or event.origin <> herald._origin()
                        or not exists (select from herald._subscription s where herald._is_for(s, event)))
                and not exists (select from herald.pending p where p.event_seq = event.seq);
        else
            is_done := not exists (select from herald.pending)
                and not exists (
                    select from herald.event e
                    where e.seq > at_cursor.seq and e.origin = herald._origin()
                    and pg_visible_in_snapshot(e.xid, start) and not pg_visible_in_snapshot(e.xid, at_cursor.snapshot)
                    and exists (select from herald._subscription s where herald._is_for(s, e)));
        end if;
        if is_done then
            return true;
        end if;
        if clock_timestamp() >= until then
            return false;
        end if;
        perform pg_sleep(0.005);
    end loop;
end
$$;
