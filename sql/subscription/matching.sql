-- The worker's own rules of matching, for SQL, and what follows when they cannot be read.

-- Whether an event is for a subscription with these types and this tenant: the worker's own rule. Unreadable types
-- match every event.
create function herald_internal.matches(types text[], tenant text, event_type text, event_tenant text) returns boolean
    language c immutable
    as 'MODULE_PATHNAME', 'matches_wrapper';

-- Returns what decides, beside its types and tenant, which events a subscription gets: its options, and for a split
-- also those of the other members of its group; without those created after the event with this transaction and number,
-- if one is given. Null if nothing does.
-- gets() and why_not() read it.
create function herald_internal.selection_of(
    entry herald_internal.subscription, xid xid8 default null, seq bigint default null
)
    returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    own constant jsonb := herald_internal.selecting(entry.options);
    others jsonb;
begin
    if own = '{}' then
        return null;
    end if;
    if own ? 'split' then
        select jsonb_agg(herald_internal.contender(s)) into others
        from herald_internal.subscription s
        where s.options -> 'split' ->> 'group' = own -> 'split' ->> 'group'
        and s.tenant is not distinct from entry.tenant and s.is_tenants = entry.is_tenants
        and s.id <> entry.id and s.removed_at is null and s.state <> 'disabled'
        and (selection_of.seq is null
            or herald_internal.was_there(s.created_xid, s.created_snapshot, s.created_seq, selection_of.xid,
                                         selection_of.seq));
    end if;
    return jsonb_build_object('own', herald_internal.contender(entry), 'others', coalesce(others, '[]'));
end
$$;

-- Returns what a selection has about a subscription.
create function herald_internal.contender(entry herald_internal.subscription) returns jsonb
    language sql stable
    set search_path = pg_catalog, pg_temp
    return jsonb_build_object(
        'id', entry.id, 'name', entry.name, 'types', entry.types, 'tenant', entry.tenant, 'state', entry.state,
        'options', herald_internal.selecting(entry.options));

-- Whether a subscription with this selection gets an event of its types and tenant: the worker's own rule. An
-- unreadable filter refuses nothing; an event whose data cannot be read passes no filter that looks at it.
create function herald_internal.gets(selection text, event herald.event, extensions text, context text, data text)
    returns boolean
    language c immutable
    as 'MODULE_PATHNAME', 'gets_wrapper';

create function herald_internal.gets(selection text, event herald.event) returns boolean
    language sql immutable strict
as $$
    -- A parsed body would keep anybody from altering a column of the log.
    select herald_internal.gets($1, $2, ($2).extensions::text, ($2).context::text, ($2).data::text)
$$;

-- Says in words which rule keeps the event from a subscription with these types, tenant and selection; null if none
-- does.
create function herald_internal.why_not(types text[], tenant text, selection text, event herald.event,
                                        extensions text, context text, data text)
    returns text
    language c immutable
    as 'MODULE_PATHNAME', 'why_not_wrapper';

create function herald_internal.why_not(types text[], tenant text, selection text, event herald.event) returns text
    language sql immutable
as $$
    select herald_internal.why_not($1, $2, $3, $4, ($4).extensions::text, ($4).context::text, ($4).data::text)
$$;

-- Returns when the next of these hours begin, if this time is outside of them; null if it is not, or if nothing is held
-- then.
create function herald_internal.closed_until(active_hours json, at timestamptz) returns timestamptz
    language c stable strict
    as 'MODULE_PATHNAME', 'closed_until_wrapper';

-- Returns the paths that the filters of these subscriptions ask for and no recent event of their types has, the nearest
-- path that one has, and how many events were looked at.
create function herald_internal.unseen_paths(ids bigint[], most_bytes integer)
    returns table (subscription_id bigint, path text, nearest text, events integer)
    language c volatile
    as 'MODULE_PATHNAME', 'unseen_paths_wrapper';

-- Whether the caller may see the data of events, and the names in it.
create function herald_internal.sees_data() returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
    return has_column_privilege(herald_internal.caller()::oid, 'herald.event'::regclass, 'data', 'select');

-- Warns of paths in a subscription's filter that no recent event has, for at most 20 subscriptions in a transaction:
-- apply() may save thousands.
-- Called by save_subscription().
create function herald_internal.warn_of_unseen_paths(entry herald_internal.subscription) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    setting constant text := 'herald_internal.filters_examined';
    examined constant integer := coalesce(nullif(current_setting(setting, true), ''), '0')::integer;
    unseen record;
begin
    if examined >= 20 then
        return;
    end if;
    perform set_config(setting, (examined + 1)::text, true);
    for unseen in select u.* from herald_internal.unseen_paths(array[entry.id], 8000000) u limit 5 loop
        raise warning using
            message = format('the filter of subscription "%s" asks for "%s", which no recent event has',
                             entry.name, unseen.path),
            detail = format('Events of its types and with small data that were looked at: %s.', unseen.events),
            hint = coalesce(
                format('Perhaps you meant "%s".', unseen.nearest),
                case when herald_internal.sees_data()
                    then 'See recent data: select type, data from herald.event order by seq desc limit 10;'
                    else 'Compare it with the body of a request that you received.' end);
    end loop;
end
$$;

-- Whether a subscription created then gets the event that this transaction wrote under this number, as it became
-- visible later. The worker's Since::gets() says the same of a window. Inlined, as micros() is.
create function herald_internal.was_there(
    created_xid xid8, created_snapshot pg_snapshot, created_seq bigint, xid xid8, seq bigint
)
    returns boolean
    language sql immutable
    return case when xid = created_xid then seq > created_seq
        else not pg_catalog.pg_visible_in_snapshot(xid, created_snapshot) end;

create function herald_internal.are_types(types text[]) returns boolean
    language c immutable strict
    as 'MODULE_PATHNAME', 'are_types_wrapper';

-- Whether those of a subscription's options can be read that decide which events it gets.
create function herald_internal.are_selecting(options text) returns boolean
    language c immutable strict
    as 'MODULE_PATHNAME', 'are_selecting_wrapper';

-- Remembers since when it cannot be read which events a subscription gets, whoever wrote that. Meanwhile every event
-- of its types is held for it; once they are mended, the events that do not match are removed.
-- Writes: herald.pending, herald_internal.config_change.
create function herald_internal.follow_unreadable() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    selection text;
begin
    if not herald_internal.are_types(new.types)
        or not herald_internal.are_selecting(herald_internal.selecting(new.options)::text)
    then
        new.unreadable_at := coalesce(new.unreadable_at, clock_timestamp());
    elsif new.unreadable_at is not null then
        selection := herald_internal.selection_of(new);
        delete from herald.pending p
        where p.subscription_id = new.id and p.attempts = 0
        and p.created_at between new.unreadable_at and clock_timestamp()
        and exists (
            select from herald_internal.event_at(p.event_slot, p.event_seq) e
            where not herald_internal.matches(new.types, null, e.type, null)
            or not coalesce(herald_internal.gets(selection, e), true));
        new.unreadable_at := null;
        perform herald_internal.changed('pending', new.id);
    end if;
    return new;
end
$$;

create trigger follow_unreadable before insert or update of types, options on herald_internal.subscription
    for each row execute function herald_internal.follow_unreadable();
