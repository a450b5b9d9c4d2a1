-- Tenants: which subscriptions are theirs, what their plans allow, and what they used.

-- What a plan allows; null means no limit.
create table herald.plan (
    name text not null primary key check (name ~ '^[A-Za-z0-9._-]{1,63}$'),
    -- Subscriptions at the same time.
    endpoints integer check (endpoints >= 0),
    -- Deliveries begun in a calendar month (UTC); retries are free.
    events_per_month bigint check (events_per_month >= 0),
    -- Attempts per delivery, including the first.
    max_attempts integer check (max_attempts > 0),
    -- Concurrent requests, over all subscriptions.
    max_connections integer check (max_connections > 0),
    dead_letter_retention interval check (dead_letter_retention between interval '1 second' and interval '10 years'),
    -- How far back a tenant may replay by itself.
    replay_window interval check (replay_window between interval '0' and interval '10 years')
);

insert into herald.plan
    (name, endpoints, events_per_month, max_attempts, max_connections, dead_letter_retention, replay_window)
values
    ('starter', 2, 100000, 4, 2, '24 hours', '0'),
    ('professional', 10, 500000, 7, 5, '7 days', '0'),
    ('enterprise', null, null, null, 50, '30 days', '30 days');

-- Owners of subscriptions. A tenant's role, and the roles that inherit from it, see and manage its subscriptions and
-- nothing else. The names of these subscriptions begin with the tenant's name and a slash. A subscription may name a
-- tenant without a row here: then it only gets that tenant's events.
create table herald.tenant (
    name text not null primary key check (name ~ '^[A-Za-z0-9._-]{1,31}$'),
    -- The role's name as last seen: a text, so that a dump can be restored where the role is missing.
    role name,
    -- Identifies the role and its cluster, as a role may be renamed and another may take its name. Null if the role was
    -- missing when a dump was restored.
    role_oid oid unique,
    role_cluster bigint,
    plan text not null default 'enterprise' references herald.plan on update cascade,
    -- What happens to deliveries beyond events_per_month: they are held (throttled) or given up (blocked).
    over_quota text not null default 'throttled' check (over_quota in ('throttled', 'blocked')),
    created_at timestamptz not null default clock_timestamp()
);

-- What a tenant used in a month. The worker adds to it in the transaction that records the attempts.
create table herald._usage (
    tenant text not null,
    month date not null,
    events bigint not null,
    attempts bigint not null,
    delivered bigint not null,
    dead bigint not null,
    primary key (tenant, month)
)
with (fillfactor = 50);

-- Returns the tenants that a role acts for; null for a role without such limits: a superuser, or a role that acts for
-- no tenant and has the privilege itself.
create function herald._tenants_of(role regrole) returns text[]
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (
        select array_agg(t.name)
        from herald.tenant t
        where pg_has_role($1::oid, t.role_oid, 'usage')
        and not (select r.rolsuper from pg_roles r where r.oid = $1));

-- Returns why nothing is sent to a tenant's subscriptions; null if nothing is wrong.
-- Called by doctor(), why().
create function herald._tenant_obstacle(tenant text) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (
        select case
            when count(*) = 0 then format('tenant "%s" is missing', $1)
            when bool_or(t.role is not null and r.oid is null) then format('role "%s" of tenant "%s" is missing', min(t.role), $1)
        end
        from herald.tenant t
        left join pg_roles r on r.oid = t.role_oid
        where t.name = $1);

-- Returns the role that queries a view, in a function that the view calls through a shell (see with_rights_wrapper).
create function herald._viewer() returns regrole
    language c volatile
    as 'MODULE_PATHNAME', 'viewer_wrapper';

-- Whether the role that queries a view sees all of it: it acts for no tenant, and may read the view itself. The
-- privilege of the querying role counts, so a tenant's view or function never borrows the rights of the role using it.
--
-- A view that tenants may read has two branches. The first is for all other roles, and is not even begun unless this
-- function returns true. The second is a function that returns the tenant's own rows: other tenants' rows never get
-- behind anything that the tenant can count, such as "Rows Removed by Filter" in an EXPLAIN. Neither reads a catalog in
-- the view itself, as LOCK TABLE on a view locks all relations in it.
create function herald.__sees_all(relation text) returns boolean
    language plpgsql stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    return herald._tenants_of(herald._viewer()) is null
        and has_any_column_privilege(herald._viewer(), format('herald.%I', relation), 'select');
end
$$;

create function herald._sees_all(relation text) returns boolean
    language c stable parallel restricted
    as 'MODULE_PATHNAME', 'with_rights_wrapper';

-- The tenants that have used up this month's quota.
create view herald._over_quota as
select t.name as tenant, t.over_quota, u.events, p.events_per_month
from herald.tenant t
join herald.plan p on p.name = t.plan
join herald._usage u on u.tenant = t.name
    and u.month = pg_catalog.date_trunc('month', pg_catalog.statement_timestamp() at time zone 'UTC')::date
where u.events >= p.events_per_month;

-- What each tenant used, and what its plan allows; this month is listed even if nothing was used.
create view herald._all_usage as
select
    t.name as tenant, t.plan, m.month, coalesce(u.events, 0) as events, p.events_per_month,
    coalesce(u.attempts, 0) as attempts, coalesce(u.delivered, 0) as delivered, coalesce(u.dead, 0) as dead,
    case when m.month = now.month and coalesce(u.events, 0) >= p.events_per_month then t.over_quota end as state
from herald.tenant t
join herald.plan p on p.name = t.plan
cross join (
    select pg_catalog.date_trunc('month', pg_catalog.statement_timestamp() at time zone 'UTC')::date as month
) now
cross join lateral (
    select now.month
    union
    select x.month from herald._usage x where x.tenant = t.name
) m
left join herald._usage u on u.tenant = t.name and u.month = m.month;

-- Raises an error unless a role may be a tenant's: it must have no other privileges here.
-- Called by insert and update of herald.tenant.
create function herald._check_tenant_role(role regrole) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    too_much text;
begin
    if (select r.rolsuper from pg_roles r where r.oid = role) then
        raise exception using errcode = 'invalid_parameter_value', message = format('role %s cannot be a tenant''s', role),
            detail = 'It is a superuser, who sees everything.', hint = 'Create a role for the tenant: create role ... login;';
    end if;
    select a.name into too_much
    from herald._access() a
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
        raise exception using errcode = 'invalid_parameter_value', message = format('role %s cannot be a tenant''s', role),
            detail = format('It has privileges on herald.%s, which is not for tenants.', too_much),
            hint = format('Run: select herald.revoke_access(%L); or create a role for the tenant alone.', role::text);
    end if;
end
$$;

-- Returns the number of this cluster, to which its roles belong.
create function herald._cluster() returns bigint
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (select c.system_identifier from pg_control_system() c);

-- Finds a tenant's role. A role that somebody names must exist. A role from a dump is found by its oid in the cluster
-- it came from, and elsewhere once by its name; if it is missing or may not be a tenant's, the row is kept and its
-- subscriptions are held.
create function herald._find_tenant_role() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    current_name name;
begin
    if tg_op = 'INSERT' and new.role_cluster is not null then
        if new.role_cluster <> herald._cluster() then
            new.role_oid := (select r.oid from pg_roles r where r.rolname = new.role);
            new.role_cluster := herald._cluster();
            begin
                perform herald._check_tenant_role(new.role_oid);
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
        new.role_cluster := herald._cluster();
        if new.role_oid is null and new.role is not null then
            raise exception using errcode = 'undefined_object', message = format('role "%s" does not exist', new.role),
                hint = format('Create it: create role %I login; or leave role out.', new.role);
        end if;
        perform herald._check_tenant_role(new.role_oid);
    end if;
    return new;
end
$$;

-- Raises an error unless a tenant is valid: the constraints of its table, in words.
create function herald._check_tenant() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if (new.name ~ '^[A-Za-z0-9._-]{1,31}$') is not true then
        raise exception using errcode = 'invalid_parameter_value', message = format('invalid name of a tenant "%s"', left(new.name, 100)),
            detail = 'It is 1 to 31 of A-Z a-z 0-9 . _ -.', hint = 'Give it another name.';
    elsif not exists (select from herald.plan p where p.name = new.plan) then
        raise exception using errcode = 'undefined_object', message = format('plan "%s" does not exist', left(new.plan, 100)),
            hint = coalesce((select herald._perhaps(new.plan, array_agg(p.name)) from herald.plan p), 'See: select * from herald.plan;');
    elsif (new.over_quota in ('throttled', 'blocked')) is not true then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown over_quota "%s"', left(new.over_quota, 100)),
            hint = 'It is throttled or blocked.';
    end if;
    new.created_at := coalesce(new.created_at, clock_timestamp());
    return new;
end
$$;

create trigger check_values before insert or update on herald.tenant
    for each row execute function herald._check_tenant();

create trigger find_role before insert or update of role on herald.tenant
    for each row execute function herald._find_tenant_role();

-- Updates the stored names of tenants' roles, for the next dump. A dropped role keeps its name here, which names nobody
-- in its cluster. Called by _keep_house(). Writes: herald.tenant.
create function herald._note_role_names() returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald.tenant t set role = r.rolname
    from pg_roles r
    where r.oid = t.role_oid and r.rolname <> t.role
$$;

create function herald._follow_tenant() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    left_over text;
begin
    if tg_op <> 'INSERT' and (tg_op = 'DELETE' or new.name <> old.name) then
        select s.name into left_over from herald._subscription s where s.tenant = old.name and s.removed_at is null limit 1;
        if found then
            raise exception using errcode = 'dependent_objects_still_exist',
                message = format('tenant "%s" has subscriptions', old.name), detail = format('One is "%s".', left_over),
                hint = format('Run: select herald.unsubscribe(name) from herald.subscription where tenant = %L;', old.name);
        end if;
    end if;
    if tg_op <> 'DELETE' then
        select s.name into left_over
        from herald._subscription s
        where (s.tenant = new.name) is distinct from starts_with(s.name, new.name || '/') and s.removed_at is null
        and (s.tenant = new.name or starts_with(s.name, new.name || '/'))
        limit 1;
        if found then
            raise exception using errcode = 'object_in_use',
                message = format('subscription "%s" is in the way of tenant "%s"', left_over, new.name),
                detail = 'A tenant has the subscriptions whose names begin with its own and a slash, and no others.',
                hint = format('Run: select * from herald.unsubscribe(%L); or give it another name.', left_over);
        end if;
    end if;
    -- Past data stays with the former tenant: the next tenant of this name neither sees it nor pays for it.
    if tg_op = 'DELETE' then
        update herald._subscription s set tenant = null where s.tenant = old.name;
        delete from herald._usage u where u.tenant = old.name;
    elsif tg_op = 'UPDATE' and new.name <> old.name then
        update herald._subscription s set tenant = new.name where s.tenant = old.name;
        update herald._usage u set tenant = new.name where u.tenant = old.name;
    end if;
    if tg_op <> 'DELETE' then
        update herald._subscription s set is_tenants = true
        where s.tenant = new.name and s.removed_at is null and not s.is_tenants;
    end if;
    if tg_op <> 'UPDATE' or new.role_oid is distinct from old.role_oid then
        -- Concurrent grants would change the same rows of the catalog.
        perform herald._lock('access');
        if tg_op <> 'INSERT' and exists (select from pg_roles r where r.oid = old.role_oid) then
            perform herald._revoke(old.role_oid);
        end if;
        if tg_op <> 'DELETE' and exists (select from pg_roles r where r.oid = new.role_oid) then
            perform herald._grant(new.role_oid, a.kind, a.name, a.privileges) from herald._access() a where a.is_for_tenants;
        end if;
    end if;
    perform herald._changed('tenant');
    perform herald._changed('subscription', s.id) from herald._subscription s where s.tenant in (old.name, new.name);
    return null;
end
$$;

create trigger follow after insert or update or delete on herald.tenant
    for each row execute function herald._follow_tenant();

-- Raises an error unless a plan is valid: the constraints of its table, in words.
-- Called by insert and update of herald.plan.
create function herald._check_plan(entry herald.plan) returns void
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
        ('dead_letter_retention', entry.dead_letter_retention::text,
         coalesce(entry.dead_letter_retention between interval '1 second' and interval '10 years', true), '1 second to 10 years'),
        ('replay_window', entry.replay_window::text,
         coalesce(entry.replay_window between interval '0' and interval '10 years', true), '0 to 10 years')
    ) as v (name, value, is_right, allowed)
    where v.is_right is not true
    limit 1;
    if found then
        raise exception using errcode = 'invalid_parameter_value', message = format('%s of a plan is out of range', wrong.name),
            detail = format('It is %s; allowed is %s.', coalesce(left(wrong.value, 100), 'null'), wrong.allowed),
            hint = case when wrong.name = 'name' then 'Give it another name.' else format('Leave %s out for no limit.', wrong.name) end;
    end if;
end
$$;

create function herald._follow_plan() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op <> 'INSERT' and old.name in ('starter', 'professional', 'enterprise') then
        raise exception using errcode = 'feature_not_supported', message = format('plan "%s" cannot be changed', old.name),
            detail = 'It comes with pg_herald, and a dump does not have it.',
            hint = 'Insert a plan of your own into herald.plan, and give that to tenants.';
    end if;
    if tg_op <> 'DELETE' then
        perform herald._check_plan(new);
    end if;
    perform herald._changed('tenant');
    perform herald._changed('subscription', s.id)
    from herald.tenant t
    join herald._subscription s on s.tenant = t.name and s.removed_at is null
    where t.plan in (old.name, new.name);
    return coalesce(new, old);
end
$$;

create trigger follow before insert or update or delete on herald.plan
    for each row execute function herald._follow_plan();

-- Adds what the worker did for tenants, and writes an event when a tenant nears or reaches its quota.
-- Called by record.rs. Writes: herald._usage, herald.event.
create function herald._meter(tenants text[], events bigint[], attempts bigint[], delivered bigint[], dead bigint[])
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    used record;
    kind text;
begin
    for used in
        with added as (
            select a.*
            from unnest(tenants, events, attempts, delivered, dead) as a (tenant, events, attempts, delivered, dead)
            -- A removed tenant has no account.
            where a.tenant in (select t.name from herald.tenant t)
        ), counted as (
            insert into herald._usage as u (tenant, month, events, attempts, delivered, dead)
            select a.tenant, date_trunc('month', clock_timestamp() at time zone 'UTC')::date, a.events, a.attempts, a.delivered, a.dead from added a
            on conflict (tenant, month) do update
                set events = u.events + excluded.events, attempts = u.attempts + excluded.attempts,
                    delivered = u.delivered + excluded.delivered, dead = u.dead + excluded.dead
            returning u.tenant, u.month, u.events
        )
        select c.tenant, c.month, c.events, c.events - a.events as before, p.events_per_month as quota, t.plan, t.over_quota,
               -- Four fifths, rounded up.
               p.events_per_month - p.events_per_month / 5 as near
        from counted c
        join added a on a.tenant = c.tenant
        join herald.tenant t on t.name = c.tenant
        join herald.plan p on p.name = t.plan
        where p.events_per_month > 0
    loop
        kind := case
            when used.before < used.quota and used.events >= used.quota then 'exceeded'
            when used.before < used.near and used.events >= used.near then 'warning'
        end;
        if kind is not null then
            perform herald._append_event(
                'herald.quota.' || kind,
                jsonb_build_object('tenant', used.tenant, 'plan', used.plan, 'month', to_char(used.month, 'YYYY-MM'),
                                   'events', used.events, 'events_per_month', used.quota, 'over_quota', used.over_quota)::text,
                herald._source(), used.tenant, null, null, null, 'normal', used.tenant, null, null);
        end if;
    end loop;
end
$$;

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
        raise exception using errcode = 'undefined_object', message = format('tenant "%s" does not exist', left(tenant, 100)),
            hint = coalesce((select herald._perhaps(tenant, array_agg(t.name)) from herald.tenant t),
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
            detail = format('Tenant "%s" has it.', (select min(t.name) from herald.tenant t where t.plan = drop_plan.plan)),
            hint = 'Give its tenants another: update herald.tenant set plan = ... ;';
    end if;
    delete from herald.plan p where p.name = drop_plan.plan;
    if not found then
        raise exception using errcode = 'undefined_object', message = format('plan "%s" does not exist', left(plan, 100)),
            hint = coalesce((select herald._perhaps(plan, array_agg(p.name)) from herald.plan p),
                            'See: select * from herald.plan;');
    end if;
end
$$;
