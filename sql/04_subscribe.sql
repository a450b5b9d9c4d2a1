-- Subscriptions: creating, changing, showing them.

create function herald._nearest(name text, candidates text[]) returns text
    language c immutable
    as 'MODULE_PATHNAME', 'nearest_wrapper';

-- The end of an error about an unknown name; null when no known one is alike.
create function herald._perhaps(name text, candidates text[]) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return 'Perhaps you meant "' || herald._nearest(name, candidates) || '".';

create function herald._generate_secret() returns text
    language c volatile
    as 'MODULE_PATHNAME', 'generate_secret_wrapper';

create function herald._check_event_type(event_type text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_event_type_wrapper';

create function herald._check_subscription(
    name text, url text, types text[], header_names text[], header_values text[], secret text, timeout_micros bigint,
    retry_schedule_micros bigint[], retry_jitter double precision, max_attempts integer, success integer[], retry_on integer[],
    timeout_delay_micros bigint, max_concurrency integer, max_payload integer, max_age_micros bigint, is_tenants boolean
) returns void
    language c
    as 'MODULE_PATHNAME', 'check_subscription_wrapper';

create function herald._check_certificates(ca text, certificate text, key text) returns void
    language c
    as 'MODULE_PATHNAME', 'check_certificates_wrapper';

create function herald._wake_at_commit() returns void
    language c
    as 'MODULE_PATHNAME', 'wake_at_commit_wrapper';

-- Says that the worker has to look again: at its subscriptions, or at herald.pending.
-- Called by whatever changes them. Writes: herald.config_change.
create function herald._changed(kind text) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into herald.config_change (kind) values (kind);
    select herald._wake_at_commit();
$$;

-- The microseconds of an interval.
create function herald._micros(span interval) returns bigint
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return (extract(epoch from span) * 1000000)::bigint;

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
    tls jsonb default null,
    timeout interval default null,
    retry_schedule interval[] default null,
    retry_jitter real default null,
    max_attempts integer default null,
    success integer[] default null,
    retry_on integer[] default null,
    timeout_delay interval default null,
    max_concurrency integer default null,
    max_payload integer default null,
    max_age interval default null,
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
begin
    if _subscribe.name is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the subscription has no name',
            hint = 'Run: select * from herald.subscribe(''billing'', url => ''https://...'');';
    end if;
    _subscribe.name := herald._full_name(_subscribe.name, own);
    if own is not null then
        perform herald._check_name_of_tenant(
            _subscribe.name, coalesce(_subscribe.tenant, herald._tenant_of_name(_subscribe.name)));
    end if;
    -- One at a time for each name: two migrations that subscribe at once must not both create it.
    perform pg_advisory_xact_lock(hashtextextended('herald.subscription:' || _subscribe.name, 0));
    select s.* into entry from herald._subscription s where s.name = _subscribe.name and s.removed_at is null for update;
    created := not found;
    if not created and own is not null and entry.tenant = any (own) is not true then
        raise exception using errcode = 'insufficient_privilege',
            message = format('subscription "%s" is not one of your tenant', _subscribe.name), hint = 'Choose another name.';
    end if;
    if _subscribe.start_from is not null then
        if own is not null then
            raise exception using errcode = 'insufficient_privilege', message = 'start_from is not for tenants',
                detail = 'The worker reads nothing on for anybody until this transaction ends.',
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
        -- The worker reads nothing on until this transaction ends, so that no event falls between those that are
        -- sent from the log and those that are read from now on.
        lock table herald.config_change in access exclusive mode;
    end if;
    if created then
        if _subscribe.url is null then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('subscription "%s" does not exist, and no url is given to create it', _subscribe.name),
                hint = format('Run: select * from herald.subscribe(%L, url => ''https://...'');', _subscribe.name);
        end if;
        entry.id := nextval('herald.subscription_id_seq');
        entry.name := _subscribe.name;
        entry.state := 'active';
        entry.types := '{*}';
        entry.timeout := '30 s';
        entry.retry_schedule := '{5 s,5 min,30 min,2 h,5 h,10 h,14 h,20 h,24 h}';
        entry.retry_jitter := 0.1;
        entry.max_concurrency := 10;
        entry.max_payload := 262144;
        entry.dead_letter_retention := '30 days';
        entry.header_names := '{}';
        entry.tls_names := '{}';
    end if;
    entry.url := coalesce(_subscribe.url, entry.url);
    entry.types := coalesce(_subscribe.types, entry.types);
    entry.tenant := coalesce(_subscribe.tenant, entry.tenant, herald._tenant_of_name(entry.name));
    entry.timeout := coalesce(_subscribe.timeout, entry.timeout);
    entry.retry_schedule := coalesce(_subscribe.retry_schedule, entry.retry_schedule);
    entry.retry_jitter := coalesce(_subscribe.retry_jitter, entry.retry_jitter);
    entry.max_attempts := coalesce(_subscribe.max_attempts, entry.max_attempts);
    entry.success := coalesce(_subscribe.success, entry.success);
    entry.retry_on := coalesce(_subscribe.retry_on, entry.retry_on);
    entry.timeout_delay := coalesce(_subscribe.timeout_delay, entry.timeout_delay);
    entry.max_concurrency := coalesce(_subscribe.max_concurrency, entry.max_concurrency);
    entry.max_payload := coalesce(_subscribe.max_payload, entry.max_payload);
    entry.max_age := coalesce(_subscribe.max_age, entry.max_age);
    entry.dead_letter_retention := coalesce(_subscribe.dead_letter_retention, entry.dead_letter_retention);
    entry.description := coalesce(_subscribe.description, entry.description);
    perform herald._save_subscription(entry, _subscribe.headers, _subscribe.tls, given_secret, created);
    if created then
        secret := coalesce(given_secret, herald._generate_secret());
        insert into herald.secret (subscription_id, kind, value) values (entry.id, 'signing', secret);
        if _subscribe.start_from is not null then
            perform herald._send_from_log(entry.id, _subscribe.start_from);
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
    former constant text := (select s.tenant from herald._subscription s where s.id = entry.id);
begin
    if former is distinct from entry.tenant
        and exists (select from herald.tenant t where t.name in (former, entry.tenant))
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

-- Makes these the values of one kind that a subscription has. One that is shown as *** stays what it is.
-- Called by _save_subscription(). Writes: herald.secret.
create function herald._keep_values(subscription_id bigint, kind text, names text[], new_values text[]) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    delete from herald.secret x
    where x.subscription_id = _keep_values.subscription_id and x.kind = _keep_values.kind
    and not exists (select from unnest(names, new_values) as g (name, value)
                    where lower(g.name) = lower(x.name) and g.value = '***');
    update herald.secret x set name = g.name
    from unnest(names) as g (name)
    where x.subscription_id = _keep_values.subscription_id and x.kind = _keep_values.kind
    and lower(g.name) = lower(x.name) and g.name <> x.name;
    insert into herald.secret (subscription_id, kind, name, value)
    select _keep_values.subscription_id, _keep_values.kind, g.name, g.value
    from unnest(names, new_values) as g (name, value)
    where not exists (select from herald.secret x
                      where x.subscription_id = _keep_values.subscription_id and x.kind = _keep_values.kind
                      and x.name = g.name);
end
$$;

-- Raises an error unless the value of this option is an object of strings.
create function herald._check_strings(option text, value jsonb, example text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(value) <> 'object' or exists (select from jsonb_each(value) m where jsonb_typeof(m.value) <> 'string')
    then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('%s is not an object of strings', option),
            hint = format('Write %s => %s.', option, example);
    end if;
end
$$;

-- Raises an error unless these are certificates of a subscription's own. Returns the names of its members.
create function herald._check_tls(tls jsonb) returns text[]
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    unknown text;
begin
    perform herald._check_strings('tls', tls, 'jsonb_build_object(''ca'', ''-----BEGIN CERTIFICATE-----...'')');
    select k into unknown from jsonb_object_keys(tls) k where k not in ('ca', 'certificate', 'key') limit 1;
    if found then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('tls has no member "%s"', unknown),
            detail = 'Its members are ca, certificate and key, each in PEM.',
            hint = coalesce(herald._perhaps(unknown, '{ca,certificate,key}'), 'Leave it out.');
    end if;
    perform herald._check_certificates(tls ->> 'ca', tls ->> 'certificate', tls ->> 'key');
    return array(select k from jsonb_object_keys(tls) k order by k);
end
$$;

-- Checks and writes one subscription. "headers" and "tls" null leave them as they are.
-- Called by subscribe() and by UPDATE of herald.subscription. Writes: herald._subscription, herald.secret.
create function herald._save_subscription(entry herald._subscription, headers jsonb, tls jsonb, secret text, is_new boolean)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    new_header_names text[];
    new_header_values text[];
    new_tls_names text[] := entry.tls_names;
    missing text;
begin
    select o.key into missing
    from jsonb_each(to_jsonb(entry)) o
    where o.value = 'null'
    and o.key in ('name', 'url', 'types', 'timeout', 'retry_schedule', 'retry_jitter', 'max_concurrency', 'max_payload',
                  'dead_letter_retention')
    limit 1;
    if found then
        raise exception using errcode = 'null_value_not_allowed', message = format('%s of a subscription is null', missing),
            hint = format('Give %s a value, or leave it as it is.', missing);
    end if;
    if headers is null then
        new_header_names := entry.header_names;
        new_header_values := array_fill('***'::text, array[cardinality(new_header_names)]);
    else
        perform herald._check_strings('headers', headers, '''{"X-Shop": "eu"}''');
        select coalesce(array_agg(h.key order by h.key), '{}'), coalesce(array_agg(h.value order by h.key), '{}')
        into new_header_names, new_header_values
        from jsonb_each_text(headers) h;
    end if;
    if tls is not null then
        new_tls_names := herald._check_tls(tls);
    end if;
    if is_new then
        perform herald._check_name_of_tenant(entry.name, entry.tenant);
        perform herald._check_endpoints(entry.tenant);
    else
        perform herald._check_owner_stays(entry);
    end if;
    if entry.dead_letter_retention not between interval '1 second' and interval '10 years' then
        raise exception using errcode = 'invalid_parameter_value', message = 'dead_letter_retention is out of range',
            detail = format('It is %s; allowed is 1 second to 10 years.', entry.dead_letter_retention),
            hint = 'Use dead_letter_retention => ''30 days''.';
    end if;
    if length(entry.description) > 1000 then
        raise exception using errcode = 'invalid_parameter_value', message = 'description is too long',
            detail = format('It has %s characters; allowed are 1000.', length(entry.description)),
            hint = 'Keep what is longer elsewhere, and its address in here.';
    end if;
    perform herald._check_subscription(
        entry.name, entry.url, entry.types, new_header_names, new_header_values, secret,
        herald._micros(entry.timeout),
        array(select herald._micros(i) from unnest(entry.retry_schedule) with ordinality r (i, n) order by n),
        entry.retry_jitter, entry.max_attempts, entry.success, entry.retry_on, herald._micros(entry.timeout_delay),
        entry.max_concurrency, entry.max_payload, herald._micros(entry.max_age),
        exists (select from herald.tenant t where t.name = entry.tenant));
    if is_new then
        insert into herald._subscription (
            id, name, url, types, tenant, header_names, tls_names, timeout, retry_schedule, retry_jitter, max_attempts,
            success, retry_on, timeout_delay, max_concurrency, max_payload, max_age, dead_letter_retention, description, created_seq)
        select entry.id, entry.name, entry.url, entry.types, entry.tenant, new_header_names, new_tls_names, entry.timeout,
               entry.retry_schedule, entry.retry_jitter, entry.max_attempts, entry.success, entry.retry_on,
               entry.timeout_delay, entry.max_concurrency,
               entry.max_payload, entry.max_age, entry.dead_letter_retention, entry.description,
               case when s.is_called then s.last_value else 0 end
        from herald.event_seq s;
    else
        update herald._subscription s set
            url = entry.url, types = entry.types, tenant = entry.tenant,
            header_names = new_header_names, tls_names = new_tls_names, timeout = entry.timeout,
            retry_schedule = entry.retry_schedule, retry_jitter = entry.retry_jitter,
            max_attempts = entry.max_attempts, success = entry.success, retry_on = entry.retry_on,
            timeout_delay = entry.timeout_delay, max_concurrency = entry.max_concurrency,
            max_payload = entry.max_payload, max_age = entry.max_age,
            dead_letter_retention = entry.dead_letter_retention, description = entry.description,
            changed_at = clock_timestamp()
        where s.id = entry.id;
    end if;
    if headers is not null then
        perform herald._keep_values(entry.id, 'header', new_header_names, new_header_values);
    end if;
    if tls is not null then
        perform herald._keep_values(entry.id, 'tls', new_tls_names, array(select tls ->> n from unnest(new_tls_names) n));
    end if;
    perform herald._changed('subscription');
end
$$;

-- Puts a new signing secret in front; the others go on signing until "grace" is over.
-- Called by subscribe(), rotate_secret(). Writes: herald.secret.
create function herald._replace_secret(subscription_id bigint, secret text, grace interval) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    delete from herald.secret x
    where x.subscription_id = _replace_secret.subscription_id and x.kind = 'signing' and x.expires_at <= clock_timestamp();
    update herald.secret x
    set expires_at = least(coalesce(x.expires_at, 'infinity'), clock_timestamp() + grace)
    where x.subscription_id = _replace_secret.subscription_id and x.kind = 'signing';
    insert into herald.secret (subscription_id, kind, value)
    values (_replace_secret.subscription_id, 'signing', _replace_secret.secret);
    perform herald._changed('subscription');
end
$$;
