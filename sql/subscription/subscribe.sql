-- Creates and changes subscriptions.

create function herald_internal.nearest(name text, candidates text[]) returns text
    language c immutable
    as 'MODULE_PATHNAME', 'nearest_wrapper';

-- Returns the end of an error about an unknown name; null if no known name is similar.
create function herald_internal.perhaps(name text, candidates text[]) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return 'Perhaps you meant "' || herald_internal.nearest(name, candidates) || '".';

create function herald_internal.generate_secret(kind text default 'v1') returns text
    language c volatile
    as 'MODULE_PATHNAME', 'generate_secret_wrapper';

create function herald_internal.check_event_type(event_type text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_event_type_wrapper';

-- Returns the form of secrets that a signature needs: 'standard' (whsec_... or whsk_...), 'whsec' or 'text'; 'unknown'
-- if the signature cannot be read.
create function herald_internal.secret_form(signing text) returns text
    language c immutable strict
    as 'MODULE_PATHNAME', 'secret_form_wrapper';

-- Returns an interval in microseconds, cut to the range of bigint: no interval fails a statement.
create function herald_internal.micros(span interval) returns bigint
    language sql immutable
    return case when span is not null
        then least(greatest(extract(epoch from span) * 1000000, -9223372036854775808), 9223372036854775807)::bigint end;

-- Raises an error if a span of time is out of range. Null means "not given". The limits must keep the span addable to
-- any time.
create function herald_internal.check_span(argument text, span interval, shortest interval, longest interval, hint text)
    returns void
    language plpgsql immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if span not between shortest and longest then
        raise exception using errcode = 'invalid_parameter_value', message = format('%s is out of range', argument),
            detail = format('It is %s; allowed is %s to %s.', span, shortest, longest), hint = hint;
    end if;
end
$$;

-- Returns a growing retry schedule: base, base x multiplier, and so on, each at most cap. For retry_schedule.
create function herald.backoff(base interval, multiplier double precision default 2, cap interval default '1 day',
                               retries integer default 10) returns interval[]
    language plpgsql immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    multiplier := coalesce(multiplier, 2);
    cap := coalesce(cap, '1 day');
    retries := coalesce(retries, 10);
    if base is null or base <= interval '0' or multiplier not between 1 and 1000000 or cap <= interval '0'
        or retries not between 1 and 100
    then
        raise exception using errcode = 'invalid_parameter_value', message = 'invalid backoff',
            detail = 'base and cap have to be longer than 0, multiplier 1 to 1000000, retries 1 to 100.',
            hint = 'Use herald.backoff(''2 s'', multiplier => 2, cap => ''5 min'', retries => 3).';
    end if;
    return array(
        -- Beyond e^50 seconds the power cannot be computed, and it is the cap anyway.
        select case when n * ln(multiplier) > 50 then cap
            else least(cap,
                       make_interval(secs => least(extract(epoch from base)::float8 * power(multiplier, n), 1e9))) end
        from generate_series(0, retries - 1) n
        order by n);
end
$$;

-- Returns statuses as a list, for success and retry_on: each is a number, or a class such as 5xx.
create function herald.statuses(variadic statuses text[]) returns integer[]
    language plpgsql immutable
    set search_path = pg_catalog, pg_temp
as $$
declare
    unknown text;
begin
    select coalesce(s, 'null') into unknown
    from unnest(statuses) s
    where (s ~ '^[2-5](xx|[0-9][0-9])$') is not true
    limit 1;
    if found or coalesce(cardinality(statuses), 0) = 0 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('statuses has "%s", which is no status', coalesce(left(unknown, 100), 'nothing')),
            detail = 'A status is a number of 200 to 599, or a class: 2xx, 3xx, 4xx or 5xx.',
            hint = 'Use herald.statuses(''5xx'', ''408'', ''429'').';
    end if;
    return array(
        select distinct n
        from unnest(statuses) s
        cross join lateral generate_series(replace(s, 'xx', '00')::integer, replace(s, 'xx', '99')::integer) n
        order by n);
end
$$;

-- Creates a subscription. If it exists, only the given options change.
-- The secret is shown here and never again.
-- Called by subscribe(). Writes: herald_internal.subscription, herald.secret, herald_internal.config_change.
create function herald_internal.subscribe_with(
    inout name text, inout secret text, start_from timestamptz, preset text, given jsonb, out created boolean
)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry herald_internal.subscription;
    given_secret constant text := subscribe_with.secret;
    own constant text[] := herald_internal.tenants_of(herald_internal.caller());
    log_floor bigint;
begin
    if subscribe_with.name is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the subscription has no name',
            hint = 'Run: select * from herald.subscribe(''billing'', url => ''https://...'');';
    end if;
    if given ? 'signing' and subscribe_with.preset is not null then
        raise exception using errcode = 'invalid_parameter_value', message = 'signing and preset exclude each other',
            hint = 'Give preset => ''github'' for a preset, or signing for an object of parts.';
    end if;
    if octet_length(subscribe_with.name) > 63 then
        raise exception using errcode = 'invalid_parameter_value', message = 'the name of the subscription is too long',
            detail = format('It has %s bytes; allowed are 63.', octet_length(subscribe_with.name)),
            hint = 'Use a shorter name.';
    end if;
    subscribe_with.name := herald_internal.full_name(subscribe_with.name, own);
    if own is not null then
        perform herald_internal.check_name_of_tenant(
            subscribe_with.name, coalesce(given ->> 'tenant', herald_internal.tenant_of_name(subscribe_with.name)));
    end if;
    -- One at a time per name: two concurrent migrations must not both create it.
    perform herald_internal.refuse_read_only('herald.subscribe()');
    perform herald_internal.lock('subscription ' || subscribe_with.name);
    select s.* into entry
    from herald_internal.subscription s
    where s.name = subscribe_with.name and s.removed_at is null
    for update;
    created := not found;
    if not created and own is not null and (entry.is_tenants and entry.tenant = any (own)) is not true then
        raise exception using errcode = 'insufficient_privilege',
            message = format('subscription "%s" does not belong to your tenant', subscribe_with.name),
            hint = 'Choose another name.';
    end if;
    if subscribe_with.start_from is not null then
        if own is not null then
            raise exception using errcode = 'insufficient_privilege', message = 'start_from is not for tenants',
                detail = 'Reading of the log stops for everybody while its transaction commits.',
                hint = format('Subscribe, and then run: select herald.replay(%L, since => %L);',
                              subscribe_with.name, subscribe_with.start_from);
        end if;
        if not created then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('start_from is for a new subscription, and "%s" exists', subscribe_with.name),
                hint = format('Run: select herald.replay(%L, since => %L);',
                              subscribe_with.name, subscribe_with.start_from);
        end if;
        if current_setting('transaction_isolation') <> 'read committed' then
            raise exception using
                errcode = 'invalid_transaction_state',
                message = 'start_from needs a transaction of the isolation level read committed',
                detail = 'An older snapshot would leave a gap between the old events and the new ones.',
                hint = 'Call subscribe() in a transaction of its own.';
        end if;
        log_floor := herald_internal.log_floor();
    end if;
    if created then
        if not given ? 'url' then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('subscription "%s" does not exist, and no url is given to create it',
                                 subscribe_with.name),
                hint = format('Run: select * from herald.subscribe(%L, url => ''https://...'');', subscribe_with.name);
        end if;
        entry.id := nextval('herald_internal.subscription_id_seq');
        entry.name := subscribe_with.name;
    end if;
    if subscribe_with.preset is not null then
        given := given || jsonb_build_object('signing', subscribe_with.preset);
    end if;
    if created and not given ? 'tenant' then
        given := given || jsonb_build_object('tenant', herald_internal.tenant_of_name(entry.name));
    end if;
    -- A template and a media type belong to their format.
    if given ->> 'format' <> 'template' then
        given := '{"template": null}' || given;
    end if;
    if given ->> 'format' not in ('structured', 'batched', 'raw', 'template') then
        given := '{"content_type": null}' || given;
    end if;
    perform herald_internal.save_subscription(entry, given, given_secret, created);
    if created then
        secret := coalesce(given_secret, herald_internal.generate_secret());
        insert into herald.secret (subscription_id, kind, value) values (entry.id, 'signing', secret);
        if subscribe_with.start_from is not null then
            perform herald_internal.send_from_log(entry.id, subscribe_with.start_from);
            insert into herald_internal.starting (subscription_id, floor_seq) values (entry.id, log_floor);
        end if;
    elsif given_secret is not null then
        perform herald_internal.check_room_for_secret(entry);
        perform herald_internal.note_lone_signature(entry);
        perform herald_internal.replace_secret(entry.id, given_secret, interval '24 hours');
    end if;
end
$$;

-- Creates subscribe() with an argument for each option.
do $do$
declare
    arguments constant text := (
        select string_agg(format('%s %I %s%s', case when o.name in ('name', 'secret') then 'inout' else 'in' end,
                                 o.name, o.type, case when o.name <> 'name' then ' default null' end), ', '
                          order by o.position)
        from herald_internal.declared_options() o);
    given constant text := (
        select string_agg(format('%L, %I', o.name, o.name), ', ' order by o.position)
        from herald_internal.declared_options() o
        where o.is_option);
begin
    execute format($format$
        create function herald_internal._subscribe(%s, out created boolean)
            language plpgsql
            security definer
            set search_path = pg_catalog, pg_temp
            set intervalstyle = postgres
        as $body$
        #variable_conflict use_variable
        begin
            select s.name, s.secret, s.created into name, secret, created
            from herald_internal.subscribe_with(
                name, secret, start_from, preset, herald_internal.given(jsonb_build_object(%s))) s;
        end
        $body$
        $format$, arguments, given);
end
$do$;

-- Returns the tenant that a subscription's name begins with; null if no such tenant exists.
create function herald_internal.tenant_of_name(name text) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (select t.name from herald.tenant t where t.name = split_part($1, '/', 1) and $1 like '%/%');

-- Raises an error unless a subscription of this name may belong to this tenant, and to the caller.
-- Called by subscribe(), by UPDATE of herald.subscription.
create function herald_internal.check_name_of_tenant(name text, tenant text) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    own constant text[] := herald_internal.tenants_of(herald_internal.caller());
    named constant text := herald_internal.tenant_of_name(name);
begin
    if own is not null and (named is null or named <> all (own) or tenant is distinct from named) then
        raise exception using errcode = 'insufficient_privilege',
            message = format('subscription "%s" would not belong to your tenant', name),
            detail = format('Role %s acts for %s.',
                            herald_internal.caller(), (select string_agg(format('"%s"', t), ', ') from unnest(own) t)),
            hint = format('Begin its name with %s/, and leave tenant out.', own[1]);
    end if;
    if named is null and exists (select from herald.tenant t where t.name = tenant)
        or named is not null and tenant is distinct from named
    then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('subscription "%s" cannot be of %s',
                             name, coalesce(format('tenant "%s"', tenant), 'no tenant')),
            detail = 'The name of a tenant''s subscription begins with the tenant''s and a slash, '
                     'and no other''s does.',
            hint = case when named is null then format('Call it %s/%s.', tenant, name)
                else format('Use tenant => %L, or another name.', named) end;
    end if;
end
$$;

-- Raises an error if a subscription would change its tenant: its pending deliveries and its past belong to the former
-- one.
create function herald_internal.check_owner_stays(entry herald_internal.subscription, tenant text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if entry.tenant is distinct from check_owner_stays.tenant
        and (entry.is_tenants or exists (select from herald.tenant t where t.name = check_owner_stays.tenant))
    then
        raise exception using errcode = 'feature_not_supported',
            message = format('subscription "%s" cannot change its tenant', entry.name),
            detail = 'Its deliveries and its past belong to the tenant.',
            hint = 'End it with herald.unsubscribe(), and subscribe again.';
    end if;
end
$$;

-- Raises an error if a tenant already has as many subscriptions as its plan allows.
create function herald_internal.check_endpoints(tenant text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    allowed integer;
    plan_name text;
begin
    -- Concurrent calls must not both find room, nor may a call whose snapshot does not show the other's.
    select p.endpoints, p.name into allowed, plan_name
    from herald.tenant t join herald.plan p on p.name = t.plan
    where t.name = check_endpoints.tenant
    for no key update of t;
    if allowed is not null and current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = 'invalid_transaction_state',
            message = 'a tenant subscribes in a transaction of the isolation level read committed',
            detail = format('Its isolation level is %s.', current_setting('transaction_isolation')),
            hint = 'Call subscribe() in a transaction of its own.';
    end if;
    if (select count(*)
        from herald_internal.subscription s
        where s.tenant = check_endpoints.tenant and s.removed_at is null) >= allowed
    then
        raise exception using errcode = 'configuration_limit_exceeded',
            message = format('tenant "%s" has its %s subscriptions already', tenant, allowed),
            detail = format('Plan "%s" has %s endpoints.', plan_name, allowed),
            hint = 'End one with herald.unsubscribe(), or choose a larger plan.';
    end if;
end
$$;
