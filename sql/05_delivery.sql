-- Deliveries: emit, burying, and the views that show what happened.

create function herald._append_event(
    event_type text, data text, source text, subject text, id text, key text, occurred_at timestamptz, priority text,
    tenant text, extensions text, dataschema text, out slot smallint, out seq bigint, out uid uuid
) returns setof record
    language c
    as 'MODULE_PATHNAME', 'append_event_wrapper';

-- An event as CloudEvents JSON, for people: dead letters and previews.
-- Called by _bury(). Reads nothing but its argument.
create function herald._event_json(event herald.event) returns json
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    -- Put together as text: data may have what nobody can decode, such as half a surrogate pair, and nulls of its own.
    select case when event.uid is null then '{}'::json else
        (select concat('{', string_agg(concat(to_json(m.name), ':', m.value), ',' order by m.position), '}')::json
         from (values
             (1, 'specversion', to_json('1.0'::text)), (2, 'id', to_json(coalesce(event.id, event.uid::text))),
             (3, 'source', to_json(event.source)), (4, 'type', to_json(event.type)), (5, 'subject', to_json(event.subject)),
             (6, 'time', to_json(event.time)), (7, 'partitionkey', to_json(event.key)), (8, 'tenant', to_json(event.tenant)),
             (9, 'dataschema', to_json(event.dataschema)), (10, 'extensions', event.extensions), (11, 'data', event.data)
         ) m (position, name, value)
         where m.value is not null) end
$$;

-- Gives a delivery up: copies its event, its subscription's options and its attempts into herald._dead_letter. Without
-- its event where that cannot be read.
-- Called by the worker and by discard(), unsubscribe(). Writes: herald._dead_letter.
create function herald._bury(subscription_id bigint, event_slot smallint, event_seq bigint, reason text,
                             attempts integer, created_at timestamptz, note text default null,
                             with_event boolean default true) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into herald._dead_letter (subscription_id, subscription, event_seq, event_slot, event_id, type, event,
                                    subscription_config, attempt_log, reason, note, attempts, created_at,
                                    last_attempt_at, expires_at)
    select
        s.id, s.name, $3, $2, coalesce(e.id, e.uid::text, '?'), coalesce(e.type, '?'), herald._event_json(e),
        to_jsonb(s) - array['id', 'created_xid', 'created_snapshot', 'created_seq', 'removed_at'],
        coalesce(a.attempt_log, '[]'), $4, $7, $5, $6, a.last_attempt_at,
        clock_timestamp() + least(s.dead_letter_retention,
                                  (select p.dead_letter_retention from herald.tenant t join herald.plan p on p.name = t.plan
                                   where t.name = s.tenant))
    from herald._subscription s
    left join lateral (
        select v.* from herald.event v where $8 and v.slot = $2 and v.seq = $3
        union all
        select h.* from herald.held_event h where $8 and h.seq = $3
        limit 1
    ) e on true
    cross join lateral (
        select
            max(t.at) as last_attempt_at,
            jsonb_agg(jsonb_build_object(
                'attempt', t.attempt, 'at', t.at, 'status_code', t.status_code, 'error_class', t.error_class,
                'error', t.error, 'duration_ms', t.duration_ms, 'response', left(t.response, 1000))
                order by t.at) as attempt_log
        from herald._attempt t
        where t.event_seq = $3 and t.subscription_id = $1
    ) a
    where s.id = $1
    on conflict (subscription_id, event_seq) do update
        set reason = excluded.reason, note = excluded.note, attempts = excluded.attempts, attempt_log = excluded.attempt_log,
            last_attempt_at = excluded.last_attempt_at, failed_at = excluded.failed_at, expires_at = excluded.expires_at
$$;

-- Disables a subscription. What is pending for it is buried by the worker, a slice at a time.
-- Called by the worker when a receiver answers 410. Writes: herald._subscription.
create function herald._disable(subscription_id bigint, reason text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    update herald._subscription s
    set state = 'disabled', state_reason = _disable.reason, state_changed_at = clock_timestamp()
    where s.id = _disable.subscription_id and s.state <> 'disabled';
    if found then
        perform herald._changed('subscription');
    end if;
end
$$;

-- Buries every pending delivery of a subscription. Returns how many.
-- Called by unsubscribe(), discard(). Writes: herald.pending, herald._dead_letter.
create function herald._bury_pending(subscription_id bigint, reason text, until timestamptz default 'infinity',
                                     note text default null)
    returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from herald.pending p
        where p.subscription_id = $1 and p.created_at <= $3
        returning p.*
    ), buried as (
        select herald._bury(g.subscription_id, g.event_slot, g.event_seq, $2, g.attempts, g.created_at, $4) from gone g
    )
    select count(*) from buried
$$;

-- Buries some pending deliveries of a subscription, but none that another session has locked. Returns how many.
-- Called by the worker. Writes: herald.pending, herald._dead_letter.
create function herald._bury_slice(subscription_id bigint, reason text, most integer) returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from herald.pending p
        where (p.subscription_id, p.event_seq) in (
            select q.subscription_id, q.event_seq from herald.pending q
            where q.subscription_id = $1 limit most for update skip locked)
        returning p.*
    ), buried as (
        select herald._bury(g.subscription_id, g.event_slot, g.event_seq, $2, g.attempts, g.created_at) from gone g
    )
    select count(*) from buried
$$;

-- Buries what is pending beyond the max_backlog of its subscription, the newest, in slices. Returns whether there may be more.
-- Called by the worker. Writes: herald.pending, herald._dead_letter, herald.config_change.
create function herald._shed_backlog() returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    slice constant integer := 1000;
    entry record;
    how_many bigint := 0;
    has_more boolean := false;
begin
    for entry in
        select s.id, s.max_backlog from herald._subscription s where s.max_backlog is not null and s.removed_at is null
    loop
        with gone as (
            delete from herald.pending p
            using (select q.event_seq from herald.pending q where q.subscription_id = entry.id
                   order by q.event_seq offset entry.max_backlog limit slice) over
            where p.subscription_id = entry.id and p.event_seq = over.event_seq
            returning p.*
        )
        select count(herald._bury(g.subscription_id, g.event_slot, g.event_seq, 'discarded', g.attempts, g.created_at,
                                  format('more than max_backlog, which is %s', entry.max_backlog))::text)
        into how_many
        from gone g;
        if how_many > 0 then
            perform herald._changed('pending');
        end if;
        has_more := has_more or how_many = slice;
    end loop;
    return has_more;
end
$$;

create function herald._check_attributes(source text, event_type text, id text, subject text, key text, dataschema text,
                                         extensions text) returns text
    language c
    as 'MODULE_PATHNAME', 'check_attributes_wrapper';

-- The CloudEvents source of this database's events.
create function herald._source() returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
    return coalesce(nullif(current_setting('herald.source', true), ''), '/' || current_database());

-- Writes one event in the caller's transaction and returns its id.
-- An id that the caller gives is kept until its retention ends: the same id again returns it and writes nothing.
-- Writes: herald.event, herald.emitted.
create function herald.emit(
    type text,
    data jsonb default null,
    source text default null,
    subject text default null,
    id text default null,
    key text default null,
    occurred_at timestamptz default null,
    priority text default 'normal',
    tenant text default null,
    extensions jsonb default null,
    dataschema text default null,
    ordered boolean default false
)
    returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    wanted_source constant text := coalesce(emit.source, herald._source());
    size constant integer := octet_length(emit.data::text);
    checked_extensions text;
    hash bytea;
    known herald.emitted;
    appended record;
begin
    if emit.type is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the event has no type',
            hint = 'Run: select herald.emit(''order.paid'', ''{"id": 1}'');';
    end if;
    checked_extensions := herald._check_attributes(wanted_source, emit.type, emit.id, emit.subject, emit.key,
                                                   emit.dataschema, emit.extensions::text);
    if emit.type like 'herald.%' then
        raise exception using errcode = 'reserved_name', message = format('the event type "%s" is reserved', emit.type),
            detail = 'Types that begin with herald. are pg_herald''s own operational events.',
            hint = 'Choose another prefix.';
    end if;
    if size > 262144 then
        raise exception using errcode = 'program_limit_exceeded', message = 'the event is too large',
            detail = format('Its data has %s bytes, the limit is 262144.', size),
            hint = 'Put a reference into the event, and the data where the receiver can fetch it.';
    end if;
    if emit.priority is null or emit.priority not in ('low', 'normal', 'high') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown priority "%s"', emit.priority),
            hint = 'It is low, normal or high.';
    end if;
    if not isfinite(emit.occurred_at) then
        raise exception using errcode = 'invalid_parameter_value', message = 'occurred_at is infinite',
            hint = 'Leave it out for now.';
    end if;
    if emit.ordered then
        if emit.key is null then
            raise exception using errcode = 'invalid_parameter_value', message = 'an ordered event needs a key',
                hint = 'Give key => ..., the same for the events that have to stay in order.';
        end if;
        -- Whoever emits for this key next waits for this transaction to end, so numbers grow in commit order.
        perform pg_advisory_xact_lock(hashtextextended(wanted_source || ' ' || emit.key, 7349));
    end if;
    if emit.id is not null then
        hash := sha256(convert_to(jsonb_build_array(
            emit.type, emit.data, emit.subject, emit.key, emit.occurred_at, emit.priority, emit.tenant, emit.extensions,
            emit.dataschema)::text, 'UTF8'));
        insert into herald.emitted (source, id, seq, slot, uid, content_hash)
        values (wanted_source, emit.id, 0, 0, '00000000-0000-0000-0000-000000000000', hash)
        on conflict do nothing;
        if not found then
            select e.* into known from herald.emitted e where e.source = wanted_source and e.id = emit.id;
            if known.content_hash is distinct from hash then
                raise exception using
                    errcode = 'unique_violation',
                    message = format('an event with the id "%s" and other content exists', emit.id),
                    detail = format('It was emitted with the source "%s" at %s.', wanted_source, known.at),
                    hint = 'Emit the same content again, or choose another id.';
            end if;
            return emit.id;
        end if;
    end if;
    select a.* into appended
    from herald._append_event(emit.type, emit.data::text, wanted_source, emit.subject, emit.id, emit.key,
                              emit.occurred_at, emit.priority, emit.tenant, checked_extensions, emit.dataschema) a;
    if emit.id is not null then
        update herald.emitted e
        set seq = appended.seq, slot = appended.slot, uid = appended.uid
        where e.source = wanted_source and e.id = emit.id;
    end if;
    return coalesce(emit.id, appended.uid::text);
end
$$;
