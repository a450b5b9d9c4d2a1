-- Access: what a role may do, in four levels. Each function and relation is listed once, at the lowest level that has
-- it; anything else is for superusers. The last column says whether it shows and affects only a tenant's own data when
-- a tenant's role uses it, and is granted to that role.

create function herald_internal.access()
    returns table (level text, kind text, name text, privileges text, is_for_tenants boolean)
    language sql immutable
    set search_path = pg_catalog, pg_temp
as $$
    values
        ('reader', 'view', 'subscription', 'select', true),
        ('reader', 'view', 'subscription_stats', 'select', true),
        ('reader', 'view', 'delivery', 'select', true),
        ('reader', 'view', 'usage', 'select', true),
        ('reader', 'view', 'worker', 'select', false),
        ('reader', 'table', 'plan', 'select', false),
        ('reader', 'table', 'tenant', 'select', false),
        ('reader', 'table', 'host_limit', 'select', false),
        ('reader', 'view', 'watch', 'select', false),
        ('reader', 'function', 'status', 'execute', true),
        ('reader', 'function', 'why', 'execute', true),
        ('reader', 'function', 'wait', 'execute', false),
        ('reader', 'function', 'test_filter', 'execute', true),
        ('reader', 'function', 'verify', 'execute', false),
        ('reader', 'function', 'generate_secret', 'execute', false),
        ('reader', 'function', 'backoff', 'execute', false),
        ('reader', 'function', 'statuses', 'execute', false),
        ('reader', 'function', 'public_key', 'execute', true),
        ('reader', 'function', 'doctor', 'execute', false),
        ('emitter', 'function', 'emit', 'execute', false),
        ('emitter', 'function', 'cancel', 'execute', false),
        ('operator', 'table', 'event', 'select', false),
        ('operator', 'table', 'held_event', 'select', false),
        ('operator', 'table', 'pending', 'select', false),
        ('operator', 'view', 'dead_letter', 'select', true),
        ('operator', 'view', 'attempt', 'select', true),
        ('operator', 'view', 'blocked_key', 'select', true),
        ('operator', 'function', 'ping', 'execute', true),
        ('operator', 'function', 'preview', 'execute', true),
        ('operator', 'function', 'grant_delivery', 'execute', false),
        ('operator', 'function', 'pause', 'execute', true),
        ('operator', 'function', 'resume', 'execute', true),
        ('operator', 'function', 'retry', 'execute', true),
        ('operator', 'function', 'redeliver', 'execute', true),
        ('operator', 'function', 'redeliver_dead_letters', 'execute', true),
        ('operator', 'function', 'replay', 'execute', true),
        ('operator', 'function', 'discard', 'execute', true),
        ('operator', 'function', 'skip', 'execute', true),
        ('operator', 'function', 'start_worker', 'execute', false),
        ('operator', 'function', 'stop_worker', 'execute', false),
        ('operator', 'function', 'restart_worker', 'execute', false),
        ('admin', 'view', 'subscription', 'update', false),
        ('admin', 'table', 'plan', 'insert, update', false),
        ('admin', 'table', 'tenant', 'insert, update', false),
        ('admin', 'table', 'host_limit', 'insert, update', false),
        ('admin', 'table', 'audit', 'select', false),
        ('admin', 'function', 'subscribe', 'execute', true),
        ('admin', 'function', 'unsubscribe', 'execute', true),
        ('admin', 'function', 'apply', 'execute', false),
        ('admin', 'function', 'rotate_secret', 'execute', true),
        ('admin', 'function', 'purge_dead_letters', 'execute', true),
        ('admin', 'function', 'drop_plan', 'execute', false),
        ('admin', 'function', 'drop_tenant', 'execute', false),
        ('admin', 'function', 'watch', 'execute', false),
        ('admin', 'function', 'unwatch', 'execute', false)
$$;

-- Returns the levels that a level includes: an operator reads, an admin does everything.
create function herald_internal.levels_of(level text) returns text[]
    language plpgsql immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return case level
        when 'reader' then '{reader}'
        when 'emitter' then '{emitter}'
        when 'operator' then '{reader,operator}'
        when 'admin' then '{reader,emitter,operator,admin}'
    end::text[];
end
$$;

-- Grants a role one entry of the list. Called by grant_access(), by insert and update of herald.tenant.
create function herald_internal.grant_to(role regrole, kind text, name text, privileges text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('grant usage on schema herald, herald_internal to %s', role);
    if kind = 'function' then
        execute (
            select string_agg(format('grant execute on function %s to %s', p.oid::regprocedure, role), '; ')
            from pg_proc p
            where p.pronamespace = 'herald'::regnamespace and p.proname = grant_to.name);
    elsif privileges = 'select' then
        execute format('grant select on herald.%I to %s', name, role);
    else
        -- Column by column: a role that may write a whole relation may lock it, and with a view everything below it.
        execute (
            select format('grant %s on herald.%I to %s', string_agg(format('%s (%s)', p, c.names), ', '), name, role)
            from unnest(string_to_array(privileges, ', ')) p
            cross join (
                select string_agg(quote_ident(a.attname), ', ') as names
                from pg_attribute a
                where a.attrelid = format('herald.%I', name)::regclass and a.attnum > 0 and not a.attisdropped
                and a.attname not in ('role_oid', 'role_cluster')
            ) c);
    end if;
end
$$;

-- Raises an error unless the role exists and is not a tenant's: a tenant's role gets and loses its privileges with the
-- tenant.
-- Called by grant_access(), revoke_access().
create function herald_internal.check_grantee(role regrole) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    tenant text;
begin
    if role is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'role is null',
            hint = 'Run: select herald.grant_access(''app'', ''reader'');';
    elsif not exists (select from pg_roles r where r.oid = check_grantee.role) then
        raise exception using errcode = 'undefined_object', message = format('role %s does not exist', role),
            hint = 'Give the name of a role.';
    end if;
    select t.name into tenant from herald.tenant t where t.role_oid = check_grantee.role;
    if found then
        raise exception using errcode = 'invalid_parameter_value', message = format('role %s is a tenant''s', role),
            detail = 'A tenant''s role has access to the tenant''s own data only.',
            hint = format('Grant to another role, or run: update herald.tenant set role = null where name = %L;',
                          tenant);
    end if;
end
$$;

-- Grants a role what a level has, in addition to what it already has.
create function herald.grant_access(role regrole, level text) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform herald_internal.check_grantee(role);
    if herald_internal.levels_of(level) is null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('there is no level "%s"', left(level, 100)),
            detail = 'The levels are reader, emitter, operator and admin.',
            hint = coalesce(herald_internal.perhaps(level, '{reader,emitter,operator,admin}'),
                            format('Run: select herald.grant_access(%L, ''reader'');', role));
    end if;
    perform herald_internal.grant_to(role, a.kind, a.name, a.privileges)
    from herald_internal.access() a
    where a.level = any (herald_internal.levels_of(grant_access.level));
end
$$;

-- Revokes everything in the schema herald from a role. Called by revoke_access(), by update and delete of
-- herald.tenant.
create function herald_internal.revoke(role regrole) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('revoke all on all functions in schema herald, herald_internal from %s', role);
    execute format('revoke all on all tables in schema herald, herald_internal from %s', role);
    execute format('revoke all on schema herald, herald_internal from %s', role);
end
$$;

-- Revokes everything that a role was granted in the schema herald.
create function herald.revoke_access(role regrole) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform herald_internal.check_grantee(role);
    perform herald_internal.revoke(role);
end
$$;

-- A function for tenants must know exactly who calls it: the role whose privilege allowed the call, even from within
-- somebody else's function or view. So herald.NAME is a shell that remembers the caller and calls
-- herald_internal._NAME. The names differ because some answer even while a catalog is locked: a look-up of a function
-- reads all those of its name, and a long one is read from a TOAST table.
do $$
declare
    inner_function record;
begin
    for inner_function in
        select p.oid, a.name, to_regproc(format('herald_internal._%s_blocked', a.name)) is not null as answers_soon
        from pg_proc p
        join herald_internal.access() a on p.proname = '_' || a.name and a.kind = 'function' and a.is_for_tenants
        where p.pronamespace = 'herald_internal'::regnamespace and p.prosecdef
    loop
        execute format('create function herald.%I(%s) returns %s language c %s as %L, %L', inner_function.name,
                       pg_get_function_arguments(inner_function.oid), pg_get_function_result(inner_function.oid),
                       case when inner_function.answers_soon then 'set lock_timeout = ''100ms''' end,
                       'MODULE_PATHNAME',
                       case when inner_function.answers_soon then 'answer_soon_wrapper'
                           else 'with_rights_wrapper' end);
    end loop;
end
$$;
