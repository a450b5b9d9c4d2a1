-- $1 the extension's oid. Returns the settings for the worker that ALTER DATABASE and ALTER ROLE have set for sessions
-- like this one, and whether the extension still exists. Omits settings that any role may set for itself, which must
-- not restart the worker.
select
    (select pg_catalog.string_agg(c.setting, E'\n' order by s.setdatabase, s.setrole, c.setting)
     from pg_catalog.pg_db_role_setting s
     cross join pg_catalog.unnest(s.setconfig) as c (setting)
     where s.setdatabase in (0, (select d.oid from pg_catalog.pg_database d
                                 where d.datname = pg_catalog.current_database()))
     and s.setrole in (0, (select r.oid from pg_catalog.pg_roles r where r.rolname = session_user))
     and c.setting like 'herald.%' and c.setting !~ '^herald\.(actor|traceparent|tracestate)='),
    exists (select from pg_catalog.pg_extension x where x.oid = $1)
