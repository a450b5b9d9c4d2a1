-- Logical replication: a publication of all tables includes those of extensions, and PostgreSQL 15 to 18 cannot exclude
-- tables from it.

-- Returns the publications that include tables of pg_herald.
-- Called by doctor(), and when a publication is made or changed.
create function herald_internal.publications() returns table (pubname name, has_secrets boolean)
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select t.pubname, bool_or(t.tablename = 'secret')
    from pg_publication_tables t
    where t.schemaname in ('herald', 'herald_internal')
    group by t.pubname
    order by t.pubname
$$;

-- Warns of a new or changed publication that includes tables of pg_herald. Never fails the command.
-- Called by the event trigger.
create function herald_internal.warn_of_publication() returns event_trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    changed record;
begin
    for changed in
        select p.pubname, p.has_secrets
        from herald_internal.publications() p
        join pg_publication c on c.pubname = p.pubname
        where c.oid in (
            select d.objid from pg_event_trigger_ddl_commands() d where d.classid = 'pg_publication'::regclass
            union
            select r.prpubid from pg_event_trigger_ddl_commands() d join pg_publication_rel r on r.oid = d.objid
            where d.classid = 'pg_publication_rel'::regclass
            union
            select n.pnpubid from pg_event_trigger_ddl_commands() d join pg_publication_namespace n on n.oid = d.objid
            where d.classid = 'pg_publication_namespace'::regclass)
    loop
        raise warning using
            message = format('publication "%s" publishes the tables of pg_herald', changed.pubname),
            detail = case when changed.has_secrets
                then 'Subscribers get the secrets of webhooks, in clear unless herald.secret_key_file is set, '
                     'and a subscriber that has pg_herald gets conflicts.'
                else 'A subscriber that has pg_herald gets conflicts.' end,
            hint = 'Publish schemas instead: create publication ... for tables in schema public;';
    end loop;
exception when others then
    raise warning 'pg_herald could not look at this publication: %', sqlerrm;
end
$$;

create event trigger pg_herald_warn_of_publication on ddl_command_end
    when tag in ('CREATE PUBLICATION', 'ALTER PUBLICATION')
    execute function herald_internal.warn_of_publication();
alter event trigger pg_herald_warn_of_publication enable always;
comment on event trigger pg_herald_warn_of_publication is 'Warns of publications that include the tables of pg_herald.';
