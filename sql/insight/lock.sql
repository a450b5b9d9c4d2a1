-- Finds out who has locked what status(), why() and doctor() read. The locked table may be a catalog, so these
-- functions read tables only to find names, and do without a name that they cannot get at once.

-- Returns the sessions and prepared transactions that keep everybody out of a table: they hold it exclusively, or
-- somebody waits for them to hold it so. Uses functions, no views, as the views read pg_authid and pg_database.
-- Called by blockers().
create function herald_internal.lock_holders()
    returns table (pid integer, gid text, relations oid[], application_name text, role_oid oid, since timestamptz)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with held as materialized (
        select l.* from pg_lock_status() l where l.locktype = 'relation' and l.pid is distinct from pg_backend_pid()
    )
    select l.pid, x.gid, array_agg(distinct l.relation), a.application_name, a.usesysid,
           coalesce(a.xact_start, x.prepared)
    from held l
    cross join pg_stat_get_activity(pg_backend_pid()) me
    left join lateral pg_stat_get_activity(l.pid) a on l.pid is not null
    left join pg_prepared_xact() x on l.pid is null and x.transaction::text = split_part(l.virtualtransaction, '/', 2)
    where l.granted and l.database in (me.datid, 0)
    and exists (
        select from held w
        where w.mode = 'AccessExclusiveLock' and w.relation = l.relation and w.database = l.database)
    group by l.pid, x.gid, a.application_name, a.usesysid, a.xact_start, x.prepared
$$;

-- Returns the name of a relation that is pg_herald's or a catalog, null for others; its number if the name cannot be
-- read. Called by blockers().
create function herald_internal.name_of_blocked_relation(relation oid) returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '1ms'
as $$
begin
    return (
        select c.oid::regclass::text from pg_class c
        where c.oid = relation and c.relnamespace = any ('{herald,herald_internal,pg_catalog}'::regnamespace[]));
exception when lock_not_available then
    return format('relation %s', relation);
end
$$;

-- Returns the name of a role, or its number if the name cannot be read. Called by blockers().
create function herald_internal.name_of_blocking_role(role oid) returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '1ms'
as $$
begin
    return pg_get_userbyid(role);
exception when lock_not_available then
    return role;
end
$$;

-- Returns at most three blocking sessions and prepared transactions: a description, with what they hold since when, and
-- their processes. Called by blocked_by(), doctor().
create function herald_internal.blockers() returns table (words text, pid integer)
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    select format('%s has locked %s since %s',
                  case when h.pid is null then format('prepared transaction "%s"', h.gid)
                      else format('process %s (%s of role %s)', h.pid,
                                  coalesce(nullif(h.application_name, ''), 'no application_name'),
                                  herald_internal.name_of_blocking_role(h.role_oid)) end,
                  n.names, date_trunc('second', h.since)),
           h.pid
    from herald_internal.lock_holders() h
    cross join lateral (
        select string_agg(k.name, ', ' order by k.name) as names
        from (select herald_internal.name_of_blocked_relation(r) as name from unnest(h.relations) r) k
    ) n
    where n.names is not null
    order by h.since
    limit 3
$$;

-- Says who blocks, for people. Tenants are not told of others' sessions.
-- Called by status(), why(), which wait at most 100 ms for a lock.
create function herald_internal.blocked_by() returns text
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not has_function_privilege(herald_internal.caller()::oid, 'herald.doctor()', 'execute') then
        return 'a lock is in the way: ask who runs the database';
    end if;
    return coalesce((select string_agg(b.words, '; ') from herald_internal.blockers() b),
                    'a lock was in the way for a moment');
exception when lock_not_available then
    -- The caller's privileges are unknown, so it is told no more than a tenant.
    return 'a lock is in the way: ask who runs the database';
end
$$;

-- What status(), why() and doctor() answer if a catalog is locked that they must read before they begin. Their caller
-- runs these, so they use nothing of pg_herald, and know processes and relations only by number.
-- Called by answer_soon_wrapper.
do $$
declare
    answer record;
begin
    for answer in
        select * from (values
            ('doctor()', 'table ("check" text, status text, detail text, hint text)',
             $row$'lock', 'error', w.words, 'Let it end its transaction, and ask again.'$row$),
            ('status()',
             'table (subscription text, state text, backlog bigint, oldest_age interval, success_rate_1h numeric, '
             'last_error text)',
             $row$null, 'unknown', null::bigint, null::interval, null::numeric, w.words$row$),
            ('why(event_id text)',
             'table (subscription text, matched boolean, rule text, state text, attempts integer, '
             'next_attempt_at timestamptz, blocked_by text)',
             $row$null, null::boolean, null, 'unknown', null::integer, null::timestamptz, w.words$row$)
        ) as v (signature, result, columns)
    loop
        execute format($format$
            create function herald_internal._%s returns %s
                language plpgsql
                set search_path = pg_catalog, pg_temp
            as $body$
            #variable_conflict use_column
            begin
                return query
                with held as materialized (
                    -- Catalogs have lower oids.
                    select l.* from pg_lock_status() l
                    where l.locktype = 'relation' and l.relation < 16384 and l.pid is distinct from pg_backend_pid()
                )
                select %s
                from (
                    select case
                        when not has_function_privilege('herald.doctor()', 'execute')
                            then 'a lock is in the way: ask who runs the database'
                        -- Not an aggregate, whose owner would be looked up.
                        else coalesce(nullif(array_to_string(array(
                            select distinct format('%%s has locked relation %%s',
                                                   coalesce('process ' || l.pid, 'a prepared transaction'), l.relation)
                            from held l
                            where l.granted
                            and exists (
                                select from held w
                                where w.mode = 'AccessExclusiveLock'
                                and w.relation = l.relation and w.database = l.database)
                        ), '; '), ''), 'a lock was in the way for a moment') end as words
                ) w;
            end
            $body$
            $format$, replace(answer.signature, '(', '_blocked('), answer.result, answer.columns);
    end loop;
end
$$;
