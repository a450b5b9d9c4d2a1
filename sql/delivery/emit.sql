-- emit(): writes one event in the caller's transaction.

create function herald_internal.append_event(
    event_type text, data text, source text, subject text, id text, key text, occurred_at timestamptz,
    deliver_at timestamptz, priority text, tenant text, extensions text, dataschema text,
    out slot smallint, out seq bigint, out uid uuid
) returns setof record
    language c
    as 'MODULE_PATHNAME', 'append_event_wrapper';

create function herald_internal.check_attributes(
    source text, event_type text, id text, subject text, key text, tenant text, dataschema text, extensions text
)
    returns text
    language c
    as 'MODULE_PATHNAME', 'check_attributes_wrapper';

create function herald_internal.default_source() returns text
    language c stable
    as 'MODULE_PATHNAME', 'default_source_wrapper';

-- Returns the CloudEvents source of this database's events.
create function herald_internal.source() returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
    return coalesce(nullif(current_setting('herald.source', true), ''), herald_internal.default_source());

-- Writes one event in the caller's transaction and returns its id.
-- An id given by the caller is kept until its retention ends: the same id again returns it and writes nothing.
-- Writes: herald.event, herald_internal.emitted.
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
    ordered boolean default false,
    deliver_at timestamptz default null
)
    returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    wanted_source constant text := coalesce(emit.source, herald_internal.source());
    size constant integer := octet_length(emit.data::text);
    checked_extensions text;
    hash bytea;
    known herald_internal.emitted;
    appended record;
begin
    emit.priority := coalesce(emit.priority, 'normal');
    if emit.type is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the event has no type',
            hint = 'Run: select herald.emit(''order.paid'', ''{"id": 1}'');';
    end if;
    checked_extensions := herald_internal.check_attributes(
        wanted_source, emit.type, emit.id, emit.subject, emit.key, emit.tenant, emit.dataschema, emit.extensions::text);
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
    if emit.priority not in ('low', 'normal', 'high') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('unknown priority "%s"', emit.priority),
            hint = 'Use low, normal or high.';
    end if;
    if emit.occurred_at not between '0001-01-01 00:00:00 UTC' and '9999-12-31 23:59:59.999999 UTC' then
        raise exception using errcode = 'invalid_parameter_value', message = 'occurred_at is out of range',
            detail = format('It is %s; RFC 3339 has the years 1 to 9999.', emit.occurred_at),
            hint = 'Leave it out for now.';
    end if;
    if emit.deliver_at > clock_timestamp() + interval '366 days' then
        raise exception using errcode = 'invalid_parameter_value', message = 'deliver_at is out of range',
            detail = format('It is %s; at most 366 days ahead are allowed.', emit.deliver_at),
            hint = 'Emit the event later.';
    end if;
    if emit.ordered then
        if emit.key is null then
            raise exception using errcode = 'invalid_parameter_value', message = 'an ordered event needs a key',
                hint = 'Give key => ..., the same for the events that have to stay in order.';
        end if;
        perform herald_internal.refuse_read_only('herald.emit()');
        -- The next emit() for this key waits for this transaction to end, so numbers grow in commit order.
        perform herald_internal.lock('event ' || wanted_source || ' ' || emit.key);
    end if;
    if emit.id is not null then
        -- Independent of the session's settings; missing data and data null give different hashes.
        hash := sha256(convert_to(jsonb_build_array(
            emit.type, emit.data::text, emit.subject, emit.key, extract(epoch from emit.occurred_at), emit.priority,
            emit.tenant, emit.extensions::text, emit.dataschema)::text
            || coalesce(extract(epoch from emit.deliver_at)::text, ''), 'UTF8'));
        insert into herald_internal.emitted (source, id, seq, slot, uid, content_hash)
        values (wanted_source, emit.id, 0, 0, '00000000-0000-0000-0000-000000000000', hash)
        on conflict do nothing;
        if not found then
            select e.* into known from herald_internal.emitted e where e.source = wanted_source and e.id = emit.id;
            if known.content_hash is distinct from hash then
                raise exception using
                    errcode = 'unique_violation',
                    message = format('an event with the id "%s" and other content exists', emit.id),
                    detail = format('It was emitted with the source "%s" at %s.', wanted_source,
                                    herald_internal.recorded_at(known.uid)),
                    hint = 'Emit the same content again, or choose another id.';
            end if;
            return emit.id;
        end if;
    end if;
    if emit.deliver_at <= clock_timestamp() then
        emit.deliver_at := null;
    end if;
    select a.* into appended
    from herald_internal.append_event(
        emit.type, emit.data::text, wanted_source, emit.subject, emit.id, emit.key,
        emit.occurred_at, emit.deliver_at, emit.priority, emit.tenant, checked_extensions, emit.dataschema) a;
    if emit.id is not null then
        update herald_internal.emitted e
        -- Its id is known for as long as it can be cancelled.
        set seq = appended.seq, slot = appended.slot, uid = appended.uid, at = greatest(e.at, emit.deliver_at)
        where e.source = wanted_source and e.id = emit.id;
    end if;
    return coalesce(emit.id, appended.uid::text);
end
$$;
