-- What a caller sees: everything, a tenant's own, or nothing.

-- Returns the tenants that a role acts for; null for a role without such limits: a superuser, or a role that acts for
-- no tenant and has the privilege itself.
create function herald_internal.tenants_of(role regrole) returns text[]
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (
        select array_agg(t.name)
        from herald.tenant t
        where pg_has_role($1::oid, t.role_oid, 'usage')
        and not (select r.rolsuper from pg_roles r where r.oid = $1));

-- Returns why nothing is sent to a tenant's subscriptions; null if nothing is wrong.
-- Called by doctor(), why().
create function herald_internal.tenant_obstacle(tenant text) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (
        select case
            when count(*) = 0 then format('tenant "%s" is missing', $1)
            when bool_or(t.role is not null and r.oid is null)
                then format('role "%s" of tenant "%s" is missing', min(t.role), $1)
        end
        from herald.tenant t
        left join pg_roles r on r.oid = t.role_oid
        where t.name = $1);

-- Returns the role that queries a view, in a function that the view calls through a shell (see with_rights_wrapper).
create function herald_internal.viewer() returns regrole
    language c volatile
    as 'MODULE_PATHNAME', 'viewer_wrapper';

-- Whether the role that queries a view sees all of it: it acts for no tenant, and may read the view itself. The
-- privilege of the querying role counts, so a tenant's view or function never borrows the rights of the role using it.
--
-- A view that tenants may read has two branches. The first is for all other roles, and is not even begun unless this
-- function returns true. The second is a function that returns the tenant's own rows: other tenants' rows never get
-- behind anything that the tenant can count, such as "Rows Removed by Filter" in an EXPLAIN. Neither reads a catalog in
-- the view itself, as LOCK TABLE on a view locks all relations in it.
create function herald_internal._sees_all(relation text) returns boolean
    language plpgsql stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    return herald_internal.tenants_of(herald_internal.viewer()) is null
        and has_any_column_privilege(herald_internal.viewer(), format('herald.%I', relation), 'select');
end
$$;

create function herald_internal.sees_all(relation text) returns boolean
    language c stable parallel restricted
    as 'MODULE_PATHNAME', 'with_rights_wrapper';
