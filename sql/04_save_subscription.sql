-- Checking and writing a subscription, whoever changes it: subscribe(), apply(), UPDATE of herald.subscription.

-- The members of auth that are never shown.
create function herald._secret_members() returns text[]
    language c immutable
    as 'MODULE_PATHNAME', 'secret_members_wrapper';

-- Makes these the values of one kind that a subscription has. One that is shown as *** stays what it is.
-- Called by _save_subscription(). Writes: herald.secret.
create function herald._keep_values(subscription_id bigint, kind text, names text[], new_values text[]) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    unknown text;
begin
    select g.name into unknown
    from unnest(names, new_values) as g (name, value)
    where g.value = '***'
    and not exists (select from herald.secret x
                    where x.subscription_id = _keep_values.subscription_id and x.kind = _keep_values.kind
                    and lower(x.name) = lower(g.name))
    limit 1;
    if found then
        raise exception using errcode = 'invalid_parameter_value', message = format('%s "%s" has no value to keep', kind, unknown),
            detail = 'It is given as ***, which stands for the value that it has.', hint = 'Give its value.';
    end if;
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

-- Raises an error if a template is a tenant's: it may take more memory than its text tells.
create function herald._check_template(entry herald._subscription) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if herald._tenants_of(herald._caller()) is not null
        and entry.template is distinct from (select s.template from herald._subscription s where s.id = entry.id)
        and entry.template is not null
    then
        raise exception using errcode = 'insufficient_privilege', message = 'template is not for tenants',
            detail = 'It is a program that runs in the database server, for each delivery.',
            hint = 'Let the platform set it, or use another format.';
    end if;
end
$$;

-- Ends the secrets of a subscription that cannot sign after its new scheme. One that can has to be given then.
-- Called by _save_subscription(). Writes: herald.secret.
create function herald._change_signing(entry herald._subscription, secret text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    former constant text := herald._secret_form((select s.signing from herald._subscription s where s.id = entry.id)::text);
    form constant text := herald._secret_form(entry.signing::text);
begin
    if form = former or form = 'text' then
        return;
    end if;
    if secret is null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('subscription "%s" needs another secret for this signing', entry.name),
            detail = 'The one that it has may not be whsec_ and the base64 of a key.',
            hint = format('Run: select * from herald.subscribe(%L, signing => %L, secret => herald.generate_secret());',
                          entry.name, entry.signing);
    end if;
    delete from herald.secret x where x.subscription_id = entry.id and x.kind = 'signing';
end
$$;

-- Types that cannot be read match every event.
create function herald._matches(types text[], event_type text) returns boolean
    language c immutable strict
    as 'MODULE_PATHNAME', 'matches_wrapper';

create function herald._are_types(types text[]) returns boolean
    language c immutable strict
    as 'MODULE_PATHNAME', 'are_types_wrapper';

-- Remembers since when the types of a subscription cannot be read, whoever wrote them. Every event is held for it then;
-- when they are mended, what they do not match is taken out of that.
-- Writes: herald.pending, herald.config_change.
create function herald._follow_types() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not herald._are_types(new.types) then
        new.types_unreadable_at := coalesce(new.types_unreadable_at, clock_timestamp());
    elsif new.types_unreadable_at is not null then
        delete from herald.pending p
        where p.subscription_id = new.id and p.attempts = 0 and p.created_at >= new.types_unreadable_at
        and exists (
            select from (
                select e.type from herald.event e where e.slot = p.event_slot and e.seq = p.event_seq
                union all
                select h.type from herald.held_event h where h.seq = p.event_seq
            ) e
            where not herald._matches(new.types, e.type));
        new.types_unreadable_at := null;
        perform herald._changed('pending', new.id);
    end if;
    return new;
end
$$;

create trigger follow_types before insert or update of types on herald._subscription
    for each row execute function herald._follow_types();

create function herald._max_options_bytes() returns integer
    language c immutable
    as 'MODULE_PATHNAME', 'max_options_bytes_wrapper';

-- Raises an error if the options of a subscription are too long to be looked at, or a list is not one. The limits of each
-- option are checked by _check_subscription().
-- Called by _save_subscription().
create function herald._check_sizes(entry herald._subscription, headers jsonb, tls jsonb, auth jsonb, secret text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    most constant integer := herald._max_options_bytes();
    size constant bigint := pg_column_size(entry)::bigint + coalesce(pg_column_size(headers), 0)
        + coalesce(pg_column_size(tls), 0) + coalesce(pg_column_size(auth), 0) + coalesce(octet_length(secret), 0);
    matrix text;
begin
    if size > most then
        raise exception using errcode = 'invalid_parameter_value', message = 'the options of the subscription are too long',
            detail = format('They take %s bytes; allowed are %s.', size, most),
            hint = 'See the limits of each option in the reference of subscribe().';
    end if;
    select o.name into matrix
    from (values ('types', array_ndims(entry.types)), ('retry_schedule', array_ndims(entry.retry_schedule)),
                 ('success', array_ndims(entry.success)), ('retry_on', array_ndims(entry.retry_on))) as o (name, dimensions)
    where o.dimensions > 1
    limit 1;
    if found then
        raise exception using errcode = 'invalid_parameter_value', message = format('%s has more than one dimension', matrix),
            hint = format('Write %s => ''{...}'' without braces within.', matrix);
    end if;
end
$$;

-- Checks and writes one subscription. "headers", "tls" and "auth" null leave them as they are.
-- Called by subscribe() and by UPDATE of herald.subscription. Writes: herald._subscription, herald.secret.
create function herald._save_subscription(entry herald._subscription, headers jsonb, tls jsonb, auth jsonb, secret text,
                                          is_new boolean)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    new_header_names text[];
    new_header_values text[];
    new_tls_names text[] := entry.tls_names;
    auth_names text[];
    missing text;
begin
    perform herald._check_sizes(entry, headers, tls, auth, secret);
    select o.key into missing
    from jsonb_each(to_jsonb(entry)) o
    where o.value = 'null'
    and o.key in ('name', 'url', 'types', 'method', 'format', 'profile', 'shrink', 'compression', 'signing', 'timeout', 'retry_schedule', 'retry_jitter', 'max_concurrency', 'max_payload',
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
    if auth = '{}' then
        entry.auth := null;
    elsif auth is not null then
        perform herald._check_strings('auth', auth, '''{"type": "bearer", "token": "..."}''');
    end if;
    perform herald._check_template(entry);
    if is_new then
        perform herald._check_name_of_tenant(entry.name, entry.tenant);
        perform herald._check_endpoints(entry.tenant);
        entry.is_tenants := exists (select from herald.tenant t where t.name = entry.tenant);
    else
        perform herald._check_owner_stays(entry);
        perform herald._check_values_stay(entry, headers, tls, auth);
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
        herald._micros(entry.retry_duration), entry.max_backlog,
        herald._style(entry, nullif(coalesce(auth, entry.auth), '{}')),
        entry.is_tenants);
    if auth <> '{}' then
        select array_agg(m.key order by m.key) filter (where m.key = any (herald._secret_members())),
               jsonb_object_agg(m.key, case when m.key = any (herald._secret_members()) then '***' else m.value end)
        into auth_names, entry.auth
        from jsonb_each_text(auth) m;
    end if;
    if is_new then
        insert into herald._subscription (
            method, format, template, content_type, profile, shrink, compression, user_agent, signing, auth,
            retry_duration, max_backlog, handshake,
            id, name, url, types, tenant, is_tenants, header_names, tls_names, timeout, retry_schedule, retry_jitter, max_attempts,
            success, retry_on, timeout_delay, max_concurrency, max_payload, max_age, dead_letter_retention, description, created_seq)
        select entry.method, entry.format, entry.template, entry.content_type, entry.profile, entry.shrink, entry.compression,
               entry.user_agent, entry.signing, entry.auth, entry.retry_duration, entry.max_backlog,
               entry.handshake,
               entry.id, entry.name, entry.url, entry.types, entry.tenant, entry.is_tenants, new_header_names, new_tls_names, entry.timeout,
               entry.retry_schedule, entry.retry_jitter, entry.max_attempts, entry.success, entry.retry_on,
               entry.timeout_delay, entry.max_concurrency,
               entry.max_payload, entry.max_age, entry.dead_letter_retention, entry.description,
               case when s.is_called then s.last_value else 0 end
        from herald.event_seq s;
    else
        perform herald._change_signing(entry, secret);
        update herald._subscription s set
            url = entry.url, types = entry.types, tenant = entry.tenant,
            method = entry.method, format = entry.format, template = entry.template, content_type = entry.content_type,
            profile = entry.profile, shrink = entry.shrink, compression = entry.compression, user_agent = entry.user_agent,
            signing = entry.signing, auth = entry.auth,
            retry_duration = entry.retry_duration, max_backlog = entry.max_backlog, handshake = entry.handshake,
            generation = s.generation + (s.url <> entry.url or s.handshake is distinct from entry.handshake)::integer,
            -- Who consented is asked again when it is somebody else, or something else is asked.
            consented_at = case when s.url = entry.url and s.handshake is not distinct from entry.handshake then s.consented_at end,
            consent_rate = case when s.url = entry.url and s.handshake is not distinct from entry.handshake then s.consent_rate end,
            consent_error = null,
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
    if auth is not null then
        perform herald._keep_values(entry.id, 'auth', coalesce(auth_names, '{}'),
                                    array(select auth ->> n from unnest(auth_names) n));
    end if;
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
end
$$;
