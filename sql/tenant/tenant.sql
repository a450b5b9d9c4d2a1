-- Changes of tenants and plans: their checks, and what follows from them.

-- Raises an error unless a role may be a tenant's: it must have no other privileges here.
-- Called by insert and update of herald.tenant.
create function herald_internal.check_tenant_role(role regrole) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    too_much text;
begin
    if (select r.rolsuper from pg_roles r where r.oid = role) then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('role %s cannot be a tenant''s', role),
            detail = 'It is a superuser, who sees everything.',
            hint = 'Create a role for the tenant: create role ... login;';
    end if;
    select a.name into too_much
    from herald_internal.access() a
    where not a.is_for_tenants
    and case a.kind
        when 'function' then exists (
            select from pg_proc p
            where p.pronamespace = 'herald'::regnamespace and p.proname = a.name
            and has_function_privilege(role::oid, p.oid, 'execute'))
        else has_any_column_privilege(role::oid, format('herald.%I', a.name), a.privileges)
    end
    limit 1;
    if found then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('role %s cannot be a tenant''s', role),
            detail = format('It has privileges on herald.%s, which is not for tenants.', too_much),
            hint = format('Run: select herald.revoke_access(%L); or create a role for the tenant alone.', role::text);
    end if;
end
$$;

-- Returns the number of this cluster, to which its roles belong.
create function herald_internal.cluster() returns bigint
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (select c.system_identifier from pg_control_system() c);

-- Finds a tenant's role. A role that somebody names must exist. A role from a dump is found by its oid in the cluster
-- it came from, and elsewhere once by its name; if it is missing or may not be a tenant's, the row is kept and its
-- subscriptions are held.
create function herald_internal.find_tenant_role() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    current_name name;
begin
    if tg_op = 'INSERT' and new.role_cluster is not null then
        if new.role_cluster <> herald_internal.cluster() then
            new.role_oid := (select r.oid from pg_roles r where r.rolname = new.role);
            new.role_cluster := herald_internal.cluster();
            begin
                perform herald_internal.check_tenant_role(new.role_oid);
            exception when invalid_parameter_value then
                raise warning using message = format('tenant "%s" is restored without its role: %s', new.name, sqlerrm),
                    hint = format('Run: update herald.tenant set role = ... where name = %L;', new.name);
                new.role_oid := null;
            end;
        end if;
        new.role := coalesce((select r.rolname from pg_roles r where r.oid = new.role_oid), new.role);
        return new;
    end if;
    if tg_op = 'UPDATE' then
        current_name := (select r.rolname from pg_roles r where r.oid = old.role_oid);
    end if;
    -- A new name of the same role changes nothing, and a missing role is looked up again.
    if tg_op = 'INSERT' or new.role is distinct from old.role and new.role is distinct from current_name
        or new.role is not null and current_name is null
    then
        new.role_oid := (select r.oid from pg_roles r where r.rolname = new.role);
        new.role_cluster := herald_internal.cluster();
        if new.role_oid is null and new.role is not null then
            raise exception using errcode = 'undefined_object', message = format('role "%s" does not exist', new.role),
                hint = format('Create it: create role %I login; or leave role out.', new.role);
        end if;
        perform herald_internal.check_tenant_role(new.role_oid);
    end if;
    return new;
end
$$;

-- Raises an error unless a tenant is valid: the constraints of its table, in words.
create function herald_internal.check_tenant() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if (new.name ~ '^[A-Za-z0-9._-]{1,31}$') is not true then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('invalid tenant name "%s"', left(new.name, 100)),
            detail = 'It is 1 to 31 of A-Z a-z 0-9 . _ -.', hint = 'Give it another name.';
    elsif not exists (select from herald.plan p where p.name = new.plan) then
        raise exception using errcode = 'undefined_object',
            message = format('plan "%s" does not exist', left(new.plan, 100)),
            hint = coalesce((select herald_internal.perhaps(new.plan, array_agg(p.name)) from herald.plan p),
                            'See: select * from herald.plan;');
    elsif (new.over_quota in ('throttled', 'blocked')) is not true then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('unknown over_quota "%s"', left(new.over_quota, 100)),
            hint = 'Use throttled or blocked.';
    end if;
    new.created_at := coalesce(new.created_at, clock_timestamp());
    return new;
end
$$;

create trigger check_values before insert or update on herald.tenant
    for each row execute function herald_internal.check_tenant();

create trigger find_role before insert or update of role on herald.tenant
    for each row execute function herald_internal.find_tenant_role();

-- Updates the stored names of tenants' roles, for the next dump. A dropped role keeps its name here, which names nobody
-- in its cluster. Called by keep_house(). Writes: herald.tenant.
create function herald_internal.note_role_names() returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald.tenant t set role = r.rolname
    from pg_roles r
    where r.oid = t.role_oid and r.rolname <> t.role
$$;

create function herald_internal.follow_tenant() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    left_over text;
begin
    if tg_op <> 'INSERT' and (tg_op = 'DELETE' or new.name <> old.name) then
        select s.name into left_over
        from herald_internal.subscription s
        where s.tenant = old.name and s.removed_at is null
        limit 1;
        if found then
            raise exception using errcode = 'dependent_objects_still_exist',
                message = format('tenant "%s" has subscriptions', old.name), detail = format('One is "%s".', left_over),
                hint = format('Run: select herald.unsubscribe(name) from herald.subscription where tenant = %L;',
                              old.name);
        end if;
    end if;
    if tg_op <> 'DELETE' then
        select s.name into left_over
        from herald_internal.subscription s
        where (s.tenant = new.name) is distinct from starts_with(s.name, new.name || '/') and s.removed_at is null
        and (s.tenant = new.name or starts_with(s.name, new.name || '/'))
        limit 1;
        if found then
            raise exception using errcode = 'object_in_use',
                message = format('subscription "%s" conflicts with tenant "%s"', left_over, new.name),
                detail = 'A tenant has the subscriptions whose names begin with its own and a slash, and no others.',
                hint = format('Run: select * from herald.unsubscribe(%L); or give it another name.', left_over);
        end if;
    end if;
    -- Past data stays with the former tenant: the next tenant of this name neither sees it nor pays for it.
    if tg_op = 'DELETE' then
        update herald_internal.subscription s set tenant = null where s.tenant = old.name;
        delete from herald_internal.usage u where u.tenant = old.name;
    elsif tg_op = 'UPDATE' and new.name <> old.name then
        update herald_internal.subscription s set tenant = new.name where s.tenant = old.name;
        update herald_internal.usage u set tenant = new.name where u.tenant = old.name;
    end if;
    if tg_op <> 'DELETE' then
        update herald_internal.subscription s set is_tenants = true
        where s.tenant = new.name and s.removed_at is null and not s.is_tenants;
    end if;
    if tg_op <> 'UPDATE' or new.role_oid is distinct from old.role_oid then
        -- Concurrent grants would change the same rows of the catalog.
        perform herald_internal.lock('access');
        if tg_op <> 'INSERT' and exists (select from pg_roles r where r.oid = old.role_oid) then
            perform herald_internal.revoke(old.role_oid);
        end if;
        if tg_op <> 'DELETE' and exists (select from pg_roles r where r.oid = new.role_oid) then
            perform herald_internal.grant_to(new.role_oid, a.kind, a.name, a.privileges)
            from herald_internal.access() a
            where a.is_for_tenants;
        end if;
    end if;
    perform herald_internal.changed('tenant');
    perform herald_internal.changed('subscription', s.id)
    from herald_internal.subscription s
    where s.tenant in (old.name, new.name);
    return null;
end
$$;

create trigger follow after insert or update or delete on herald.tenant
    for each row execute function herald_internal.follow_tenant();

-- Raises an error unless a plan is valid: the constraints of its table, in words.
-- Called by insert and update of herald.plan.
create function herald_internal.check_plan(entry herald.plan) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
begin
    select v.* into wrong
    from (values
        ('name', entry.name, entry.name ~ '^[A-Za-z0-9._-]{1,63}$', '1 to 63 of A-Z a-z 0-9 . _ -'),
        ('endpoints', entry.endpoints::text, coalesce(entry.endpoints >= 0, true), '0 or more'),
        ('events_per_month', entry.events_per_month::text, coalesce(entry.events_per_month >= 0, true), '0 or more'),
        ('max_attempts', entry.max_attempts::text, coalesce(entry.max_attempts > 0, true), '1 or more'),
        ('max_connections', entry.max_connections::text, coalesce(entry.max_connections > 0, true), '1 or more'),
        ('rate_limit', entry.rate_limit, coalesce(herald_internal.is_rate(entry.rate_limit), true),
         'a number, a slash and s, min, h or day, as 100/s'),
        ('dead_letter_retention', entry.dead_letter_retention::text,
         coalesce(entry.dead_letter_retention between interval '1 second' and interval '10 years', true),
         '1 second to 10 years'),
        ('replay_window', entry.replay_window::text,
         coalesce(entry.replay_window between interval '0' and interval '10 years', true), '0 to 10 years'),
        ('filters', entry.filters::text, entry.filters is not null, 'true or false')
    ) as v (name, value, is_right, allowed)
    where v.is_right is not true
    limit 1;
    if found then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%s of a plan is out of range', wrong.name),
            detail = format('It is %s; allowed is %s.', coalesce(left(wrong.value, 100), 'null'), wrong.allowed),
            hint = case when wrong.name = 'name' then 'Give it another name.'
                else format('Leave %s out for no limit.', wrong.name) end;
    end if;
end
$$;

create function herald_internal.follow_plan() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op <> 'INSERT' and old.name in ('starter', 'professional', 'enterprise') then
        raise exception using errcode = 'feature_not_supported',
            message = format('plan "%s" cannot be changed', old.name),
            detail = 'It comes with pg_herald, and a dump does not have it.',
            hint = 'Insert a plan of your own into herald.plan, and give that to tenants.';
    end if;
    if tg_op <> 'DELETE' then
        perform herald_internal.check_plan(new);
    end if;
    perform herald_internal.changed('tenant');
    perform herald_internal.changed('subscription', s.id)
    from herald.tenant t
    join herald_internal.subscription s on s.tenant = t.name and s.removed_at is null
    where t.plan in (old.name, new.name);
    return coalesce(new, old);
end
$$;

create trigger follow before insert or update or delete on herald.plan
    for each row execute function herald_internal.follow_plan();

-- Ends a tenant without subscriptions. A function, as DELETE is a privilege on the whole table and would allow locking
-- it. Writes: herald.tenant.
create function herald.drop_tenant(tenant text) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    delete from herald.tenant t where t.name = drop_tenant.tenant;
    if not found then
        raise exception using errcode = 'undefined_object',
            message = format('tenant "%s" does not exist', left(tenant, 100)),
            hint = coalesce((select herald_internal.perhaps(tenant, array_agg(t.name)) from herald.tenant t),
                            'See: select * from herald.tenant;');
    end if;
end
$$;

-- Deletes a plan that no tenant has. Writes: herald.plan.
create function herald.drop_plan(plan text) returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from herald.tenant t where t.plan = drop_plan.plan) then
        raise exception using errcode = 'foreign_key_violation', message = format('plan "%s" is in use', plan),
            detail = format('Tenant "%s" has it.',
                            (select min(t.name) from herald.tenant t where t.plan = drop_plan.plan)),
            hint = 'Give its tenants another: update herald.tenant set plan = ... ;';
    end if;
    delete from herald.plan p where p.name = drop_plan.plan;
    if not found then
        raise exception using errcode = 'undefined_object',
            message = format('plan "%s" does not exist', left(plan, 100)),
            hint = coalesce((select herald_internal.perhaps(plan, array_agg(p.name)) from herald.plan p),
                            'See: select * from herald.plan;');
    end if;
end
$$;

-- Raises an error unless a host's limit is valid: the constraints of its table, in words. Tells the worker of changes.
-- Called by a trigger on herald.host_limit. Writes: herald_internal.config_change.
create function herald_internal.follow_host_limit() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    wrong record;
begin
    if tg_op <> 'DELETE' then
        select v.* into wrong
        from (values
            ('host', new.host, new.host ~ '^([a-z0-9._-]{0,252}[a-z0-9_-]|\[[0-9a-f:.]{2,45}\])$',
             'the host of a URL, in lower case and without a port, as api.example.com'),
            ('rate_limit', new.rate_limit, coalesce(herald_internal.is_rate(new.rate_limit), true),
             'a number, a slash and s, min, h or day, as 100/s'),
            ('max_concurrency', new.max_concurrency::text, coalesce(new.max_concurrency between 1 and 1000, true),
             '1 to 1000')
        ) as v (name, value, is_right, allowed)
        where v.is_right is not true
        limit 1;
        if found then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('%s of a host''s limit is out of range', wrong.name),
                detail = format('It is %s; allowed is %s.', coalesce(left(wrong.value, 100), 'null'), wrong.allowed),
                hint = case when wrong.name = 'host' then 'Give the host as it stands in the url of subscriptions.'
                    else format('Leave %s out for no limit.', wrong.name) end;
        end if;
    end if;
    perform herald_internal.changed('tenant');
    if tg_op <> 'DELETE' then
        new.created_at := coalesce(new.created_at, clock_timestamp());
    end if;
    return coalesce(new, old);
end
$$;

create trigger follow before insert or update or delete on herald.host_limit
    for each row execute function herald_internal.follow_host_limit();
