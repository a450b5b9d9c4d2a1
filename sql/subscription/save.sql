-- Checks and writes a subscription, for subscribe(), apply() and UPDATE of herald.subscription.

-- Sets a subscription's values of one kind. A value given as *** stays as it is.
-- Called by keep_secret_members(). Writes: herald.secret.
create function herald_internal.keep_values(subscription_id bigint, kind text, names text[], new_values text[])
    returns void
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
                    where x.subscription_id = keep_values.subscription_id and x.kind = keep_values.kind
                    and lower(x.name) = lower(g.name))
    limit 1;
    if found then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%s "%s" has no value to keep', kind, unknown),
            detail = 'It is given as ***, which stands for the value that it has.', hint = 'Give its value.';
    end if;
    delete from herald.secret x
    where x.subscription_id = keep_values.subscription_id and x.kind = keep_values.kind
    and not exists (select from unnest(names, new_values) as g (name, value)
                    where lower(g.name) = lower(x.name) and g.value = '***');
    update herald.secret x set name = g.name
    from unnest(names) as g (name)
    where x.subscription_id = keep_values.subscription_id and x.kind = keep_values.kind
    and lower(g.name) = lower(x.name) and g.name <> x.name;
    insert into herald.secret (subscription_id, kind, name, value)
    select keep_values.subscription_id, keep_values.kind, g.name, g.value
    from unnest(names, new_values) as g (name, value)
    where not exists (select from herald.secret x
                      where x.subscription_id = keep_values.subscription_id and x.kind = keep_values.kind
                      and x.name = g.name);
end
$$;

-- Raises an error if a tenant sets a template: it may take more memory than its text suggests.
create function herald_internal.check_template(former jsonb, wanted jsonb) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if wanted ->> 'template' is distinct from former ->> 'template' and wanted ? 'template'
        and herald_internal.tenants_of(herald_internal.caller()) is not null
    then
        raise exception using errcode = 'insufficient_privilege', message = 'template is not for tenants',
            detail = 'It is a program that runs in the database server, for each delivery.',
            hint = 'Let the platform set it, or use another format.';
    end if;
end
$$;

-- Raises an error if a tenant sets or changes a filter, and its plan has none.
create function herald_internal.check_filter(former jsonb, wanted jsonb) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    plan text;
begin
    if wanted -> 'filter' is not distinct from former -> 'filter' or not wanted ? 'filter'
        or herald_internal.tenants_of(herald_internal.caller()) is null
    then
        return;
    end if;
    select p.name into plan
    from herald.tenant t
    join herald.plan p on p.name = t.plan
    where t.name = wanted ->> 'tenant' and not p.filters;
    if found then
        raise exception using errcode = 'insufficient_privilege', message = format('plan "%s" has no filters', plan),
            detail = 'The tenant gets all events of its types.',
            hint = 'Select by types, or let the platform set the filter or another plan.';
    end if;
end
$$;

-- Raises an error if a subscription would join a group that is full: each event asks all of its members.
create function herald_internal.check_group(entry herald_internal.subscription, former jsonb, wanted jsonb) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    most constant integer := 100;
    "group" constant text := wanted -> 'split' ->> 'group';
begin
    if "group" is null
        or ("group", wanted ->> 'tenant') is not distinct from (former -> 'split' ->> 'group', former ->> 'tenant')
    then
        return;
    end if;
    -- Concurrent calls must not both find room, unless their snapshots are older than this.
    perform herald_internal.lock(format('group %s of %s', "group", coalesce(wanted ->> 'tenant', '')));
    if (select count(*)
        from herald_internal.subscription s
        where s.options -> 'split' ->> 'group' = "group"
        and s.tenant is not distinct from wanted ->> 'tenant' and s.is_tenants = entry.is_tenants
        and s.id <> entry.id and s.removed_at is null) >= most
    then
        raise exception using errcode = 'configuration_limit_exceeded', message = format('group "%s" is full', "group"),
            detail = format('It has %s members, as many as a group may have.', most),
            hint = 'Use another group, or end a member with herald.unsubscribe().';
    end if;
end
$$;

-- Deletes a subscription's signing secrets if they cannot sign in its new scheme: then a new secret must be given.
-- Called by save_subscription(). Writes: herald.secret.
create function herald_internal.change_signing(
    entry herald_internal.subscription, former jsonb, signing jsonb, secret text
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    former_form constant text := herald_internal.secret_form(former::text);
    form constant text := herald_internal.secret_form(signing::text);
begin
    if form = former_form or form = 'text' then
        return;
    end if;
    if secret is null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('subscription "%s" needs another secret for this signing', entry.name),
            detail = 'The one that it has may not be whsec_ and the base64 of a key.',
            hint = format('Run: select * from herald.subscribe(%L, signing => %L, secret => herald.generate_secret());',
                          entry.name, signing);
    end if;
    delete from herald.secret x where x.subscription_id = entry.id and x.kind = 'signing';
end
$$;

create function herald_internal.max_options_bytes() returns integer
    language c immutable
    as 'MODULE_PATHNAME', 'max_options_bytes_wrapper';

-- Raises an error if a subscription's options are too long to examine. check_subscription() checks the limits of each
-- option.
-- Called by save_subscription(), apply().
create function herald_internal.check_sizes(former jsonb, given jsonb, secret text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    most constant integer := herald_internal.max_options_bytes();
    size constant bigint := pg_column_size(former)::bigint + pg_column_size(given) + coalesce(octet_length(secret), 0);
begin
    if size > most then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'the options of the subscription are too long',
            detail = format('They take %s bytes; allowed are %s.', size, most),
            hint = 'See the limits of each option in the reference of subscribe().';
    end if;
end
$$;

-- Stores the given values that are secrets.
-- Called by save_subscription(). Writes: herald.secret.
create function herald_internal.keep_secret_members(subscription_id bigint, given jsonb) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    option text;
    names text[];
    new_values text[];
begin
    for option in select o.name from herald_internal.declared_options() o where o.has_secrets and given ? o.name loop
        select coalesce(array_agg(m.key order by m.key), '{}'), coalesce(array_agg(m.value order by m.key), '{}')
        into names, new_values
        from jsonb_each_text(case jsonb_typeof(given -> option) when 'object' then given -> option end) m
        where herald_internal.is_secret_member(option, m.key);
        perform herald_internal.keep_values(subscription_id, option, names, new_values);
    end loop;
end
$$;

-- Checks and writes one subscription with the given options; null removes an option.
-- Called by subscribe(), apply() and UPDATE of herald.subscription. Writes: herald_internal.subscription,
-- herald.secret.
create function herald_internal.save_subscription(
    entry herald_internal.subscription, given jsonb, secret text, is_new boolean
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    former constant jsonb := case when is_new then '{}' else herald_internal.options_of(entry) end;
    wanted jsonb;
    -- As stored.
    o herald_internal.options;
    masked jsonb;
begin
    perform herald_internal.check_sizes(former, given, secret);
    wanted := herald_internal.merge_options(
        former::text, (case when is_new then herald_internal.default_options() || given else given end)::text);
    perform herald_internal.check_template(former, wanted);
    perform herald_internal.check_filter(former, wanted);
    if is_new then
        perform herald_internal.check_name_of_tenant(entry.name, wanted ->> 'tenant');
        perform herald_internal.check_endpoints(wanted ->> 'tenant');
        entry.is_tenants := exists (select from herald.tenant t where t.name = wanted ->> 'tenant');
    else
        perform herald_internal.check_owner_stays(entry, wanted ->> 'tenant');
        perform herald_internal.check_values_stay(former, wanted);
    end if;
    perform herald_internal.check_subscription(entry.name, entry.is_tenants, wanted::text, secret);
    perform herald_internal.check_group(entry, former, wanted);
    o := jsonb_populate_record(o, wanted);
    masked := herald_internal.masked_options(wanted) - herald_internal.column_options();
    if is_new then
        insert into herald_internal.subscription (
            id, name, is_tenants, url, types, tenant, max_backlog, dead_letter_retention, options, created_seq)
        select entry.id, entry.name, entry.is_tenants, o.url, o.types, o.tenant, o.max_backlog, o.dead_letter_retention,
               masked, case when q.is_called then q.last_value else 0 end
        from herald_internal.event_seq q;
    else
        perform herald_internal.change_signing(entry, former -> 'signing', wanted -> 'signing', secret);
        update herald_internal.subscription s set
            url = o.url, types = o.types, tenant = o.tenant, max_backlog = o.max_backlog,
            dead_letter_retention = o.dead_letter_retention, options = masked,
            generation = s.generation + n.is_another::integer,
            -- Another receiver, or another question, needs a new consent.
            consented_at = case when not n.is_another then s.consented_at end,
            consent_rate = case when not n.is_another then s.consent_rate end,
            consent_error = null, changed_at = clock_timestamp()
        from (
            select former ->> 'url' <> o.url or former -> 'handshake' is distinct from wanted -> 'handshake'
        ) as n (is_another)
        where s.id = entry.id;
    end if;
    -- Another receiver, or no breaker: nobody is known to be down.
    if not is_new and (wanted ->> 'url' <> former ->> 'url' or not wanted ? 'breaker') then
        delete from herald_internal.breaker b where b.subscription_id = entry.id;
    end if;
    if not is_new and wanted -> 'dead_blocks' is distinct from 'true' then
        delete from herald_internal.blocking_letter b where b.subscription_id = entry.id;
    end if;
    perform herald_internal.keep_secret_members(entry.id, given);
    if wanted ? 'filter'
        and (wanted -> 'filter', wanted -> 'types') is distinct from (former -> 'filter', former -> 'types')
    then
        perform herald_internal.warn_of_unseen_paths(entry);
    end if;
end
$$;

-- Puts a signing secret in front; the others sign until "grace" is over. If the secret already signs, nobody can tell:
-- neither errors nor herald.audit show it.
-- Called by subscribe(), apply(), rotate_secret(). Writes: herald.secret.
create function herald_internal.replace_secret(subscription_id bigint, secret text, grace interval) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    delete from herald.secret x
    where x.subscription_id = replace_secret.subscription_id
    and x.kind = 'signing' and x.expires_at <= clock_timestamp();
    update herald.secret x
    set expires_at = least(coalesce(x.expires_at, 'infinity'), clock_timestamp() + grace)
    where x.subscription_id = replace_secret.subscription_id and x.kind = 'signing';
    delete from herald.secret x
    where x.subscription_id = replace_secret.subscription_id and x.kind = 'signing'
    and herald_internal.is_secret(concat(x.key_id, ':', x.value), herald_internal.about_secret(x), secret);
    insert into herald.secret (subscription_id, kind, value)
    values (replace_secret.subscription_id, 'signing', replace_secret.secret);
end
$$;

-- Deletes the signing secrets beyond ten, those that expire first. Called by apply(), which must not fail because of
-- one more.
-- Writes: herald.secret.
create function herald_internal.end_surplus_secrets(subscription_id bigint) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    delete from herald.secret x
    where x.ctid = any (array(
        select y.ctid from herald.secret y
        where y.subscription_id = $1 and y.kind = 'signing'
        order by y.expires_at desc nulls first
        offset 10))
$$;
