-- Subscriptions: creating, changing, showing them.

create function herald._nearest(name text, candidates text[]) returns text
    language c immutable
    as 'MODULE_PATHNAME', 'nearest_wrapper';

-- The end of an error about an unknown name; null when no known one is alike.
create function herald._perhaps(name text, candidates text[]) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return 'Perhaps you meant "' || herald._nearest(name, candidates) || '".';

create function herald._generate_secret(kind text default 'v1') returns text
    language c volatile
    as 'MODULE_PATHNAME', 'generate_secret_wrapper';

create function herald._check_event_type(event_type text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_event_type_wrapper';

create function herald._check_subscription(
    name text, url text, types text[], header_names text[], header_values text[], secret text, timeout_micros bigint,
    retry_schedule_micros bigint[], retry_jitter double precision, max_attempts integer, success integer[], retry_on integer[],
    timeout_delay_micros bigint, max_concurrency integer, max_payload integer, max_age_micros bigint,
    retry_duration_micros bigint, max_backlog bigint, style text,
    is_tenants boolean
) returns void
    language c
    as 'MODULE_PATHNAME', 'check_subscription_wrapper';

-- What secrets have to be for a signature: 'standard' (whsec_... or whsk_...), 'whsec', or 'text'; 'unknown' where it cannot
-- be read.
create function herald._secret_form(signing text) returns text
    language c immutable strict
    as 'MODULE_PATHNAME', 'secret_form_wrapper';

create function herald._check_certificates(ca text, certificate text, key text) returns void
    language c
    as 'MODULE_PATHNAME', 'check_certificates_wrapper';

-- How requests look, as one document: what the worker reads, and what is checked.
create function herald._style(entry herald._subscription, auth jsonb) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select json_build_object(
        'method', entry.method, 'format', entry.format, 'template', entry.template, 'content_type', entry.content_type,
        'profile', entry.profile, 'shrink', entry.shrink, 'compression', entry.compression, 'user_agent', entry.user_agent,
        'signing', entry.signing, 'auth', auth, 'handshake', entry.handshake)::text
$$;

-- The microseconds of an interval. What is too long for a bigint is its end: no interval fails a statement.
create function herald._micros(span interval) returns bigint
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return case when span is not null
        then least(greatest(extract(epoch from span) * 1000000, -9223372036854775808), 9223372036854775807)::bigint end;

-- A new subscription with the defaults of all options.
create function herald._default_subscription(name text) returns herald._subscription
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry herald._subscription;
begin
    entry.id := nextval('herald.subscription_id_seq');
    entry.name := name;
    entry.state := 'active';
    entry.types := '{*}';
    entry.timeout := '30 s';
    entry.retry_schedule := '{5 s,5 min,30 min,2 h,5 h,10 h,14 h,20 h,24 h}';
    entry.retry_jitter := 0.1;
    entry.max_concurrency := 10;
    entry.max_payload := 262144;
    entry.dead_letter_retention := '30 days';
    entry.header_names := '{}';
    entry.is_tenants := false;
    entry.generation := 0;
    entry.method := 'POST';
    entry.format := 'structured';
    entry.profile := 'standard';
    entry.shrink := false;
    entry.compression := 'none';
    entry.signing := '"standard"';
    entry.tls_names := '{}';
    return entry;
end
$$;

-- A retry schedule that grows: base, base x multiplier, and so on, none longer than cap. For retry_schedule.
create function herald.backoff(base interval, multiplier double precision default 2, cap interval default '1 day',
                               retries integer default 10) returns interval[]
    language plpgsql immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if base is null or base <= interval '0' or multiplier is null or multiplier not between 1 and 1000000 or cap is null or cap <= interval '0'
        or retries is null or retries not between 1 and 100
    then
        raise exception using errcode = 'invalid_parameter_value', message = 'invalid backoff',
            detail = 'base and cap have to be longer than 0, multiplier 1 to 1000000, retries 1 to 100.',
            hint = 'Use herald.backoff(''2 s'', multiplier => 2, cap => ''5 min'', retries => 3).';
    end if;
    return array(
        -- Beyond e^50 seconds the power could not be computed, and it is the cap anyway.
        select case when n * ln(multiplier) > 50 then cap
            else least(cap, make_interval(secs => least(extract(epoch from base)::float8 * power(multiplier, n), 1e9))) end
        from generate_series(0, retries - 1) n
        order by n);
end
$$;

-- Creates a subscription, or changes one: with the name of an existing subscription exactly the given options.
-- The secret is shown here and never again.
-- Writes: herald._subscription, herald.secret, herald.config_change.
create function herald._subscribe(
    inout name text,
    url text default null,
    types text[] default null,
    inout secret text default null,
    start_from timestamptz default null,
    tenant text default null,
    headers jsonb default null,
    method text default null,
    format text default null,
    template text default null,
    content_type text default null,
    profile text default null,
    shrink boolean default null,
    compression text default null,
    user_agent text default null,
    signing jsonb default null,
    auth jsonb default null,
    handshake jsonb default null,
    tls jsonb default null,
    timeout interval default null,
    retry_schedule interval[] default null,
    retry_jitter real default null,
    max_attempts integer default null,
    success integer[] default null,
    retry_on integer[] default null,
    timeout_delay interval default null,
    retry_duration interval default null,
    max_concurrency integer default null,
    max_payload integer default null,
    max_age interval default null,
    max_backlog bigint default null,
    dead_letter_retention interval default null,
    description text default null,
    out created boolean
)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry herald._subscription;
    given_secret constant text := _subscribe.secret;
    own constant text[] := herald._tenants_of(herald._caller());
    log_floor bigint;
begin
    if _subscribe.name is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the subscription has no name',
            hint = 'Run: select * from herald.subscribe(''billing'', url => ''https://...'');';
    end if;
    if octet_length(_subscribe.name) > 63 then
        raise exception using errcode = 'invalid_parameter_value', message = 'the name of the subscription is too long',
            detail = format('It has %s bytes; allowed are 63.', octet_length(_subscribe.name)), hint = 'Use a shorter name.';
    end if;
    _subscribe.name := herald._full_name(_subscribe.name, own);
    if own is not null then
        perform herald._check_name_of_tenant(
            _subscribe.name, coalesce(_subscribe.tenant, herald._tenant_of_name(_subscribe.name)));
    end if;
    -- One at a time for each name: two migrations that subscribe at once must not both create it.
    perform herald._lock('subscription ' || _subscribe.name);
    select s.* into entry from herald._subscription s where s.name = _subscribe.name and s.removed_at is null for update;
    created := not found;
    if not created and own is not null and (entry.is_tenants and entry.tenant = any (own)) is not true then
        raise exception using errcode = 'insufficient_privilege',
            message = format('subscription "%s" is not one of your tenant', _subscribe.name), hint = 'Choose another name.';
    end if;
    if _subscribe.start_from is not null then
        if own is not null then
            raise exception using errcode = 'insufficient_privilege', message = 'start_from is not for tenants',
                detail = 'Reading of the log stops for everybody while its transaction commits.',
                hint = format('Subscribe, and then run: select herald.replay(%L, since => %L);', _subscribe.name, _subscribe.start_from);
        end if;
        if not created then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('start_from is for a new subscription, and "%s" exists', _subscribe.name),
                hint = format('Run: select herald.replay(%L, since => %L);', _subscribe.name, _subscribe.start_from);
        end if;
        if current_setting('transaction_isolation') <> 'read committed' then
            raise exception using
                errcode = 'invalid_transaction_state',
                message = 'start_from needs a transaction of the isolation level read committed',
                detail = 'An older snapshot would leave a gap between the old events and the new ones.',
                hint = 'Call subscribe() in a transaction of its own.';
        end if;
        log_floor := herald._log_floor();
    end if;
    if created then
        if _subscribe.url is null then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('subscription "%s" does not exist, and no url is given to create it', _subscribe.name),
                hint = format('Run: select * from herald.subscribe(%L, url => ''https://...'');', _subscribe.name);
        end if;
        entry := herald._default_subscription(_subscribe.name);
    end if;
    entry.url := coalesce(_subscribe.url, entry.url);
    entry.types := coalesce(_subscribe.types, entry.types);
    entry.tenant := coalesce(_subscribe.tenant, entry.tenant, herald._tenant_of_name(entry.name));
    entry.method := coalesce(_subscribe.method, entry.method);
    -- A template and a media type go with their format.
    if _subscribe.format <> 'template' then
        entry.template := null;
    end if;
    if _subscribe.format not in ('template', 'raw') then
        entry.content_type := null;
    end if;
    entry.format := coalesce(_subscribe.format, entry.format);
    entry.template := coalesce(_subscribe.template, entry.template);
    entry.content_type := coalesce(_subscribe.content_type, entry.content_type);
    entry.profile := coalesce(_subscribe.profile, entry.profile);
    entry.shrink := coalesce(_subscribe.shrink, entry.shrink);
    entry.compression := coalesce(_subscribe.compression, entry.compression);
    entry.user_agent := coalesce(_subscribe.user_agent, entry.user_agent);
    entry.signing := coalesce(_subscribe.signing, entry.signing);
    entry.handshake := coalesce(_subscribe.handshake, entry.handshake);
    entry.timeout := coalesce(_subscribe.timeout, entry.timeout);
    entry.retry_schedule := coalesce(_subscribe.retry_schedule, entry.retry_schedule);
    entry.retry_jitter := coalesce(_subscribe.retry_jitter, entry.retry_jitter);
    entry.max_attempts := coalesce(_subscribe.max_attempts, entry.max_attempts);
    entry.success := coalesce(_subscribe.success, entry.success);
    entry.retry_on := coalesce(_subscribe.retry_on, entry.retry_on);
    entry.timeout_delay := coalesce(_subscribe.timeout_delay, entry.timeout_delay);
    entry.retry_duration := coalesce(_subscribe.retry_duration, entry.retry_duration);
    entry.max_backlog := coalesce(_subscribe.max_backlog, entry.max_backlog);
    entry.max_concurrency := coalesce(_subscribe.max_concurrency, entry.max_concurrency);
    entry.max_payload := coalesce(_subscribe.max_payload, entry.max_payload);
    entry.max_age := coalesce(_subscribe.max_age, entry.max_age);
    entry.dead_letter_retention := coalesce(_subscribe.dead_letter_retention, entry.dead_letter_retention);
    entry.description := coalesce(_subscribe.description, entry.description);
    perform herald._save_subscription(entry, _subscribe.headers, _subscribe.tls, _subscribe.auth, given_secret, created);
    if created then
        secret := coalesce(given_secret, herald._generate_secret());
        insert into herald.secret (subscription_id, kind, value) values (entry.id, 'signing', secret);
        if _subscribe.start_from is not null then
            perform herald._send_from_log(entry.id, _subscribe.start_from);
            insert into herald.starting (subscription_id, floor_seq) values (entry.id, log_floor);
        end if;
    elsif given_secret is not null then
        perform herald._check_room_for_secret(entry);
        perform herald._replace_secret(entry.id, given_secret, interval '24 hours');
    end if;
end
$$;

-- The tenant whose subscription a name says it is; null if that is no tenant.
create function herald._tenant_of_name(name text) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (select t.name from herald.tenant t where t.name = split_part($1, '/', 1) and $1 like '%/%');

-- Raises an error unless a subscription of this name may be this tenant's, and the caller's.
-- Called by subscribe(), by UPDATE of herald.subscription.
create function herald._check_name_of_tenant(name text, tenant text) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    own constant text[] := herald._tenants_of(herald._caller());
    named constant text := herald._tenant_of_name(name);
begin
    if own is not null and (named is null or named <> all (own) or tenant is distinct from named) then
        raise exception using errcode = 'insufficient_privilege',
            message = format('subscription "%s" would not be one of your tenant', name),
            detail = format('Role %s acts for %s.', herald._caller(), (select string_agg(format('"%s"', t), ', ') from unnest(own) t)),
            hint = format('Begin its name with %s/, and leave tenant out.', own[1]);
    end if;
    if named is null and exists (select from herald.tenant t where t.name = tenant)
        or named is not null and tenant is distinct from named
    then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('subscription "%s" cannot be of %s', name, coalesce(format('tenant "%s"', tenant), 'no tenant')),
            detail = 'The name of a tenant''s subscription begins with the tenant''s and a slash, and no other''s does.',
            hint = case when named is null then format('Call it %s/%s.', tenant, name)
                else format('Use tenant => %L, or another name.', named) end;
    end if;
end
$$;

-- Raises an error if a subscription would change hands: what waits for it, and its past, are the former owner's.
create function herald._check_owner_stays(entry herald._subscription) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    former herald._subscription;
begin
    select s.* into former from herald._subscription s where s.id = entry.id;
    if former.tenant is distinct from entry.tenant
        and (former.is_tenants or exists (select from herald.tenant t where t.name = entry.tenant))
    then
        raise exception using errcode = 'feature_not_supported',
            message = format('subscription "%s" cannot change its tenant', entry.name),
            detail = 'Its deliveries and its past belong to the tenant.',
            hint = 'End it with herald.unsubscribe(), and subscribe anew.';
    end if;
end
$$;

-- Raises an error if a tenant has as many subscriptions as its plan allows.
create function herald._check_endpoints(tenant text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    allowed integer;
    plan_name text;
begin
    -- Two that subscribe at once must not both find room, nor one that does not see the other.
    select p.endpoints, p.name into allowed, plan_name
    from herald.tenant t join herald.plan p on p.name = t.plan
    where t.name = _check_endpoints.tenant
    for no key update of t;
    if allowed is not null and current_setting('transaction_isolation') <> 'read committed' then
        raise exception using errcode = 'invalid_transaction_state',
            message = 'a tenant subscribes in a transaction of the isolation level read committed',
            detail = format('Its isolation level is %s.', current_setting('transaction_isolation')),
            hint = 'Call subscribe() in a transaction of its own.';
    end if;
    if (select count(*) from herald._subscription s where s.tenant = _check_endpoints.tenant and s.removed_at is null) >= allowed then
        raise exception using errcode = 'configuration_limit_exceeded',
            message = format('tenant "%s" has its %s subscriptions already', tenant, allowed),
            detail = format('Plan "%s" has %s endpoints.', plan_name, allowed),
            hint = 'End one with herald.unsubscribe(), or choose a larger plan.';
    end if;
end
$$;
