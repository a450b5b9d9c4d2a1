-- The schemas of the extension.

-- CREATE EXTENSION accepts an existing schema herald, for example after a restore, whatever it contains and whoever
-- owns it. Functions planted there could be called in place of ours, with a superuser's rights, so the schema must be
-- as good as new. Until that is known, nothing is looked up in it.
do $$
declare
    previous constant text := pg_catalog.current_setting('search_path');
    squatted record;
begin
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    select n.nspname as name, n.oid, n.nspowner::regrole as owner, a.rolsuper as is_superusers,
        exists (
            select from pg_depend d
            where d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid
            and d.classid <> 'pg_extension'::regclass
        ) as has_objects,
        (
            select string_agg(case when g.grantee = 0 then 'public' else g.grantee::regrole::text end, ', ')
            from aclexplode(n.nspacl) g
            left join pg_roles r on r.oid = g.grantee
            where g.privilege_type = 'CREATE' and g.grantee <> n.nspowner and r.rolsuper is not true
        ) as creators
    into squatted
    from pg_namespace n
    join pg_roles a on a.oid = n.nspowner
    where n.nspname in ('herald', 'herald_internal', 'herald_watch')
    order by 4, 5 desc, 6 nulls last
    limit 1;
    if not squatted.is_superusers or squatted.has_objects or squatted.creators is not null then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('schema "%s" exists and cannot be trusted', squatted.name),
            detail = case
                when not squatted.is_superusers then format('It belongs to %s, who is no superuser.', squatted.owner)
                when squatted.has_objects then 'It is not empty.'
                else format('%s may create objects in it.', squatted.creators) end,
            hint = format('Look at what is in it, then run: drop schema %s cascade;', squatted.name);
    end if;
    -- Leftovers that passed the checks.
    if exists (select from pg_namespace n where n.nspname = 'herald_internal') then
        drop schema herald_internal;
    end if;
    if exists (select from pg_namespace n where n.nspname = 'herald_watch') then
        drop schema herald_watch;
    end if;
    perform set_config('search_path', previous, true);
end
$$;

-- Schema herald has what people call and read. Everything else is in here.
create schema herald_internal;
