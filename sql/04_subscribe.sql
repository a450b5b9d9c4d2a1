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
    retry_schedule_micros bigint[], retry_jitter double precision, max_attempts integer, max_concurrency integer,
    max_payload integer, max_age_micros bigint
) returns void
    language c
    as 'MODULE_PATHNAME', 'check_subscription_wrapper';

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
create function herald.subscribe(
    inout name text,
    url text default null,
    types text[] default null,
    inout secret text default null,
    start_from timestamptz default null,
    tenant text default null,
    headers jsonb default null,
    timeout interval default null,
    retry_schedule interval[] default null,
    retry_jitter real default null,
    max_attempts integer default null,
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
    given_secret constant text := subscribe.secret;
begin
    if subscribe.name is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'the subscription has no name',
            hint = 'Run: select * from herald.subscribe(''billing'', url => ''https://...'');';
    end if;
    -- One at a time for each name: two migrations that subscribe at once must not both create it.
    perform pg_advisory_xact_lock(hashtextextended('herald.subscription:' || subscribe.name, 0));
    select s.* into entry from herald._subscription s where s.name = subscribe.name and s.removed_at is null for update;
    created := not found;
    if subscribe.start_from is not null then
        if not created then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('start_from is for a new subscription, and "%s" exists', subscribe.name),
                hint = format('Run: select herald.replay(%L, since => %L);', subscribe.name, subscribe.start_from);
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
        if subscribe.url is null then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('subscription "%s" does not exist, and no url is given to create it', subscribe.name),
                hint = format('Run: select * from herald.subscribe(%L, url => ''https://...'');', subscribe.name);
        end if;
        entry.id := nextval('herald.subscription_id_seq');
        entry.name := subscribe.name;
        entry.state := 'active';
        entry.types := '{*}';
        entry.timeout := '30 s';
        entry.retry_schedule := '{5 s,5 min,30 min,2 h,5 h,10 h,14 h,20 h,24 h}';
        entry.retry_jitter := 0.1;
        entry.max_concurrency := 10;
        entry.max_payload := 262144;
        entry.dead_letter_retention := '30 days';
        entry.header_names := '{}';
    end if;
    entry.url := coalesce(subscribe.url, entry.url);
    entry.types := coalesce(subscribe.types, entry.types);
    entry.tenant := coalesce(subscribe.tenant, entry.tenant);
    entry.timeout := coalesce(subscribe.timeout, entry.timeout);
    entry.retry_schedule := coalesce(subscribe.retry_schedule, entry.retry_schedule);
    entry.retry_jitter := coalesce(subscribe.retry_jitter, entry.retry_jitter);
    entry.max_attempts := coalesce(subscribe.max_attempts, entry.max_attempts);
    entry.max_concurrency := coalesce(subscribe.max_concurrency, entry.max_concurrency);
    entry.max_payload := coalesce(subscribe.max_payload, entry.max_payload);
    entry.max_age := coalesce(subscribe.max_age, entry.max_age);
    entry.dead_letter_retention := coalesce(subscribe.dead_letter_retention, entry.dead_letter_retention);
    entry.description := coalesce(subscribe.description, entry.description);
    perform herald._save_subscription(entry, subscribe.headers, given_secret, created);
    if created then
        secret := coalesce(given_secret, herald._generate_secret());
        insert into herald.secret (subscription_id, kind, value) values (entry.id, 'signing', secret);
        if subscribe.start_from is not null then
            perform herald._send_from_log(entry.id, subscribe.start_from);
        end if;
    elsif given_secret is not null then
        perform herald._replace_secret(entry.id, given_secret, interval '24 hours');
    end if;
end
$$;

-- Checks and writes one subscription. "headers" null leaves its headers as they are.
-- Called by subscribe() and by UPDATE of herald.subscription. Writes: herald._subscription, herald.secret.
create function herald._save_subscription(entry herald._subscription, headers jsonb, secret text, is_new boolean)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    new_header_names text[];
    new_header_values text[];
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
        select coalesce(array_agg(x.name order by x.name), '{}'), coalesce(array_agg(x.value order by x.name), '{}')
        into new_header_names, new_header_values
        from herald.secret x
        where x.subscription_id = entry.id and x.kind = 'header';
    elsif jsonb_typeof(headers) <> 'object'
        or exists (select from jsonb_each(headers) h where jsonb_typeof(h.value) <> 'string')
    then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'headers is not an object of strings',
            hint = 'Write headers => ''{"X-Shop": "eu"}''.';
    else
        -- A value that is shown as *** stays what it is.
        select coalesce(array_agg(h.key order by h.key), '{}'),
               coalesce(array_agg(case when h.value = '***' then coalesce(x.value, h.value) else h.value end order by h.key), '{}')
        into new_header_names, new_header_values
        from jsonb_each_text(headers) h
        left join herald.secret x on x.subscription_id = entry.id and x.kind = 'header' and lower(x.name) = lower(h.key);
    end if;
    if entry.dead_letter_retention <= interval '0' then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'dead_letter_retention is not positive', hint = 'Use dead_letter_retention => ''30 days''.';
    end if;
    perform herald._check_subscription(
        entry.name, entry.url, entry.types, new_header_names, new_header_values, secret,
        herald._micros(entry.timeout),
        array(select herald._micros(i) from unnest(entry.retry_schedule) with ordinality r (i, n) order by n),
        entry.retry_jitter, entry.max_attempts, entry.max_concurrency, entry.max_payload, herald._micros(entry.max_age));
    if is_new then
        insert into herald._subscription (
            id, name, url, types, tenant, header_names, timeout, retry_schedule, retry_jitter, max_attempts,
            max_concurrency, max_payload, max_age, dead_letter_retention, description, created_seq)
        select entry.id, entry.name, entry.url, entry.types, entry.tenant, new_header_names, entry.timeout,
               entry.retry_schedule, entry.retry_jitter, entry.max_attempts, entry.max_concurrency,
               entry.max_payload, entry.max_age, entry.dead_letter_retention, entry.description,
               case when s.is_called then s.last_value else 0 end
        from herald.event_seq s;
    else
        update herald._subscription s set
            url = entry.url, types = entry.types, tenant = entry.tenant,
            header_names = new_header_names, timeout = entry.timeout,
            retry_schedule = entry.retry_schedule, retry_jitter = entry.retry_jitter,
            max_attempts = entry.max_attempts, max_concurrency = entry.max_concurrency,
            max_payload = entry.max_payload, max_age = entry.max_age,
            dead_letter_retention = entry.dead_letter_retention, description = entry.description,
            changed_at = clock_timestamp()
        where s.id = entry.id;
    end if;
    if headers is not null then
        delete from herald.secret x where x.subscription_id = entry.id and x.kind = 'header';
        insert into herald.secret (subscription_id, kind, name, value)
        select entry.id, 'header', h.name, h.value
        from unnest(new_header_names, new_header_values) as h (name, value);
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
