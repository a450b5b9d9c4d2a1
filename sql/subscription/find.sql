-- Finds what a caller names: a subscription, an event, and whether the event is for the subscription.

-- Whether an event goes to a subscription that did not get it yet, judging by type, tenant and creation.
-- Called by wait(), resume_after_restore().
create function herald_internal.is_for(subscription herald_internal.subscription, event herald.event) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select s.removed_at is null and s.state <> 'disabled'
        and herald_internal.was_there(s.created_xid, s.created_snapshot, s.created_seq, e.xid, e.seq)
        and herald_internal.matches(s.types, s.tenant, e.type, e.tenant)
        and coalesce(herald_internal.gets(herald_internal.selection_of(subscription, e.xid, e.seq), e), true)
    from (select (subscription).*) s, (select (event).*) e
$$;

-- Returns the full name of a subscription: a tenant may omit its own name and the slash. Digits alone are an id, not a
-- name.
create function herald_internal.full_name(name text, tenants text[]) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return case when cardinality(tenants) = 1 and not starts_with(name, tenants[1] || '/') and name !~ '^[0-9]+$'
                then tenants[1] || '/' || name else name end;

-- Returns the subscription of this name or id; the error suggests the nearest name. A tenant's role finds only its own.
create function herald_internal.find_subscription(subscription text) returns herald_internal.subscription
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    found_one herald_internal.subscription;
    own constant text[] := herald_internal.tenants_of(herald_internal.caller());
begin
    if subscription is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the subscription is null',
            hint = 'Give its name or id. See: select * from herald.status();';
    end if;
    select s.* into found_one
    from herald_internal.subscription s
    where s.removed_at is null and s.name = herald_internal.full_name(subscription, own)
    and (own is null or s.is_tenants and s.tenant = any (own));
    if not found and subscription ~ '^[1-9][0-9]{0,17}$' then
        select s.* into found_one
        from herald_internal.subscription s
        where s.removed_at is null and s.id = subscription::bigint
        and (own is null or s.is_tenants and s.tenant = any (own));
    end if;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('subscription "%s" does not exist', left(subscription, 100)),
            hint = coalesce(
                (select herald_internal.perhaps(subscription, array_agg(s.name))
                 from herald_internal.subscription s
                 where s.removed_at is null and (own is null or s.is_tenants and s.tenant = any (own))),
                'See: select * from herald.status();');
    end if;
    return found_one;
end
$$;

-- Returns the event at this place, in the log or held for a delivery.
create function herald_internal.event_at(slot smallint, seq bigint) returns setof herald.event
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select e.* from herald.event e where e.slot = $1 and e.seq = $2
    union all
    select h.* from herald.held_event h where h.seq = $2
    limit 1
$$;

-- Returns the event with this number, in the log or held for a delivery.
create function herald_internal.event_numbered(seq bigint) returns setof herald.event
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select e.* from herald.event e where e.seq = $1
    union all
    select h.* from herald.held_event h where h.seq = $1
    limit 1
$$;

-- Returns the event of this id, uid or delivery_id, wherever it is kept; the error lists the sources of an ambiguous
-- id. A tenant's role finds only its own.
create function herald_internal.find_event(event_id text) returns herald.event
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    own constant text[] := herald_internal.tenants_of(herald_internal.caller());
    found_one herald.event;
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
        where own is null or v.tenant = any (own)
        limit 1;
        if found then
            return found_one;
        end if;
    end if;
    select count(*), string_agg(format('"%s"', m.source), ', ' order by m.source) into how_many, sources
    from herald_internal.emitted m
    where m.id = event_id
    and (own is null or exists (select from herald_internal.event_at(m.slot, m.seq) e where e.tenant = any (own)));
    if how_many > 1 then
        raise exception using
            errcode = 'ambiguous_alias',
            message = format('event id "%s" is ambiguous', left(event_id, 100)),
            detail = format('It was emitted by the sources %s.', sources),
            hint = format('Use a uid: select source, uid from herald_internal.emitted where id = %L;', event_id);
    end if;
    select e.* into found_one
    from herald_internal.emitted m
    cross join lateral herald_internal.event_at(m.slot, m.seq) e
    where m.id = event_id and (own is null or e.tenant = any (own));
    if found then
        return found_one;
    end if;
    if event_id ~ '^[0-9]{1,18}/[0-9]{1,18}$' then
        select e.* into found_one
        from herald_internal.subscription s
        cross join lateral herald_internal.event_numbered(split_part(event_id, '/', 2)::bigint) e
        where s.id = split_part(event_id, '/', 1)::bigint
        and (own is null or s.is_tenants and s.tenant = any (own) and e.tenant = any (own));
        if found then
            return found_one;
        end if;
    end if;
    raise exception using
        errcode = 'undefined_object',
        message = format('event "%s" does not exist', left(event_id, 100)),
        detail = case when how_many = 1 then 'It was emitted, and its retention has ended.'
            else 'No event in the log has this id, uid or delivery_id.' end,
        hint = case when own is not null
            then 'See: select event_id, type from herald.delivery order by created_at desc limit 10;'
            else coalesce(
                (select herald_internal.perhaps(event_id, array_agg(e.id))
                 from (select left(r.id, 200) as id from herald_internal.emitted r order by r.at desc limit 10000) e),
                'See: select uid, type, time from herald.event order by seq desc limit 10;') end;
end
$$;
