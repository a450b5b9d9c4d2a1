-- Keeps watches in step with the tables' definitions: triggers on new partitions, renamed columns, dropped tables.
-- Capture is correct without this: it resolves columns by number when it loads a watch.

-- Returns the current names of the columns in a watch's list: renames are followed, dropped columns left out.
-- Called by load_watch_details.sql, follow(), watch(). Reads: pg_attribute.
create function herald_internal.current_columns(entry herald_internal.watch, columns text[]) returns text[]
    language sql stable
    set search_path = pg_catalog, pg_temp
    return case when columns is not null then array(
        select coalesce(a.attname::text, c.name)
        from unnest(columns) with ordinality c (name, position)
        left join pg_catalog.pg_attribute a
            on a.attrelid = (entry).table_name and (entry).column_table = (entry).table_name::oid
            and a.attnum = ((entry).column_numbers ->> c.name)::smallint
        where a.attisdropped is not true
        order by c.position)
    end;

-- Records which columns the lists of a watch name.
-- Called by watch(), follow(), resume_after_restore(). Writes: herald_internal.watch.
create function herald_internal.note_columns(watch_id bigint) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald_internal.watch w set
        column_table = w.table_name::oid,
        column_numbers = coalesce((
            select jsonb_object_agg(a.attname, a.attnum)
            from pg_attribute a
            where a.attrelid = w.table_name and a.attnum > 0 and not a.attisdropped
            and a.attname = any (coalesce(w.include_columns, '{}') || coalesce(w.exclude_columns, '{}')
                                 || coalesce(w.on_change_of, '{}'))), '{}')
    where w.id = watch_id
$$;

-- Records the functions of a watch: a restore or an upgrade gives them other oids.
-- Called by follow(), resume_after_restore(). Writes: herald_internal.watch.
create function herald_internal.note_functions(watch_id bigint) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald_internal.watch w
    set functions = found.functions
    from (
        select k.id, coalesce(jsonb_object_agg(e, p.oid) filter (where p.oid is not null), '{}') as functions
        from herald_internal.watch k
        left join herald_internal.expressions_with_function(k) e on true
        left join pg_proc p on p.oid = herald_internal.expression_function(k, e)
        where k.id = watch_id
        group by k.id
    ) found
    where w.id = found.id and w.functions <> found.functions
$$;

-- Finds the functions of a watch from a dump. pg_dump puts functions and their owners before all data, so they are
-- found while they still belong to the table's owner: if the table gets another owner, nothing else links them to it.
create function herald_internal.find_functions() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry herald_internal.watch := new;
    names constant text[] := array(select herald_internal.expressions_with_function(entry));
begin
    -- The oids are another cluster's, and the triggers are not restored yet.
    new.column_table := null;
    entry.functions := '{}';
    new.functions := coalesce((
        select jsonb_object_agg(e, p.oid)
        from unnest(names) e
        join pg_proc p on p.oid = herald_internal.expression_function(entry, e)), '{}');
    return new;
end
$$;

create trigger find_functions before insert on herald_internal.watch
    for each row when (new.column_table is not null)
    execute function herald_internal.find_functions();

-- Brings a watch in step with the current tables.
-- Called by follow_ddl(). Writes: herald_internal.watch, pg_trigger, pg_proc.
create function herald_internal.follow(entry herald_internal.watch) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    now_included constant text[] := herald_internal.current_columns(entry, entry.include_columns);
    now_excluded constant text[] := herald_internal.current_columns(entry, entry.exclude_columns);
    now_deciding constant text[] := herald_internal.current_columns(entry, entry.on_change_of);
    foreign_part constant regclass := herald_internal.foreign_part(entry.table_name);
    -- A restore creates the table before its triggers, whose places must stay free.
    is_being_restored constant boolean := entry.column_table is null
        and exists (select from herald_internal.missing_triggers(entry));
    function_name regprocedure;
    owner oid;
begin
    if (now_included, now_excluded, now_deciding)
            is distinct from (entry.include_columns, entry.exclude_columns, entry.on_change_of)
        or entry.column_table is distinct from entry.table_name::oid and not is_being_restored
    then
        update herald_internal.watch w
        set include_columns = now_included, exclude_columns = now_excluded, on_change_of = now_deciding
        where w.id = entry.id;
        perform herald_internal.note_columns(entry.id);
        if now_deciding = '{}' and entry.on_change_of <> '{}' then
            raise warning using
                message = format('watch "%s" on %s captures no update any more', entry.name, entry.table_name),
                detail = 'The columns of its on_change_of were dropped.',
                hint = format('Run: select * from herald.watch(%L, %L, on_change_of => array[...]);',
                              entry.table_name, entry.name);
        end if;
    end if;
    select c.relowner into owner from pg_class c where c.oid = entry.table_name;
    for function_name in
        select p.oid
        from herald_internal.expressions_with_function(entry) e
        join pg_proc p on p.oid = herald_internal.expression_function(entry, e)
        where p.proowner <> owner
    loop
        execute format('alter function %s owner to %s', function_name, owner::regrole);
    end loop;
    perform herald_internal.note_functions(entry.id);
    -- pg_dump does not dump this dependency.
    perform herald_internal.drop_with_table(f, entry.table_name)
    from herald_internal.expressions_with_function(entry) e
    cross join herald_internal.expression_function(entry, e) f
    where not herald_internal.goes_with_table(f, entry.table_name);
    if is_being_restored then
        return;
    end if;
    perform herald_internal.sync_triggers(entry);
    if foreign_part is not null
        and exists (
            select from herald_internal.wanted_triggers(entry) t
            where t.operation <> 'truncate' and not t.is_for_each_row)
    then
        raise warning using
            message = format('writes to %s will fail when they reach the foreign table %s',
                             entry.table_name, foreign_part),
            detail = format('Watch "%s" captures %s, and PostgreSQL has no transition tables for foreign tables.',
                            entry.name, entry.table_name),
            hint = format('Run: select * from herald.unwatch(%L, %L); and watch the local partitions one by one.',
                          entry.table_name, entry.name);
    end if;
end
$$;

-- Follows DDL on watched tables, and on those above and below them. Never fails the command.
-- Called by the event trigger. Writes: herald_internal.watch, pg_trigger, pg_proc.
create function herald_internal.follow_ddl() returns event_trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set quote_all_identifiers = off
as $$
declare
    entry herald_internal.watch;
    context text;
begin
    get diagnostics context = pg_context;
    if not exists (select from herald_internal.watch) or context like '%herald.\_sync\_triggers(%' then
        return;
    end if;
    for entry in
        with recursive up (relid) as (
            select c.objid from pg_event_trigger_ddl_commands() c where c.classid = 'pg_class'::regclass
            union
            select i.inhparent from pg_inherits i join up on i.inhrelid = up.relid
        ),
        above (id, relid) as (
            select w.id, i.inhparent from herald_internal.watch w join pg_inherits i on i.inhrelid = w.table_name
            union
            select a.id, i.inhparent from pg_inherits i join above a on i.inhrelid = a.relid
        )
        select w.*
        from herald_internal.watch w
        where w.table_name in (select up.relid from up)
        -- A table taken out of the tree still has the triggers.
        or w.id in (select t.watch_id from herald_internal.triggers() t where t.table_oid in (select up.relid from up))
        -- If the watched table became part of another, it needs triggers for each row.
        or w.id in (select a.id from above a where a.relid in (select up.relid from up))
        -- If it is no longer part of another, it still has triggers for each row.
        or not w.replicated and w.table_name not in (select i.inhrelid from pg_inherits i)
        and w.id in (select t.watch_id from herald_internal.triggers() t where t.is_for_each_row)
    loop
        begin
            perform herald_internal.follow(entry);
        exception when others then
            raise warning using
                message = format('watch "%s" on %s could not follow this command: %s',
                                 entry.name, entry.table_name, sqlerrm),
                hint = format('Run: select * from herald.watch(%L, %L);', entry.table_name, entry.name);
        end;
    end loop;
exception when others then
    raise warning using
        message = format('pg_herald could not follow this command: %s', sqlerrm),
        hint = 'Call herald.watch() for the tables that it changed, if they are watched.';
end
$$;

-- Forgets the watches of dropped tables, and warns of watches that lost an expression. Never fails the command.
-- Called by the event trigger. Writes: herald_internal.watch.
create function herald_internal.follow_drop() returns event_trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set quote_all_identifiers = off
as $$
declare
    lost record;
begin
    -- DROP EXTENSION pg_herald comes here too.
    if to_regclass('herald_internal.watch') is null or not exists (select from herald_internal.watch) then
        return;
    end if;
    delete from herald_internal.watch w
    using pg_event_trigger_dropped_objects() o
    where o.classid = 'pg_class'::regclass and o.objsubid = 0 and w.table_name = o.objid;
    for lost in
        select w.name, w.table_name, f.key as expression
        from pg_event_trigger_dropped_objects() o
        cross join herald_internal.watch w
        cross join jsonb_each_text(w.functions) f
        where o.classid = 'pg_proc'::regclass and o.schema_name = 'herald_watch'
        and o.objid = f.value::oid and not o.original
    loop
        raise warning using
            message = format('watch "%s" on %s lost its %s, so writes to the table fail until it has one',
                             lost.name, lost.table_name, lost.expression),
            hint = format('Run: select * from herald.watch(%L, %L, %s => ...); or herald.unwatch(%1$L, %2$L).',
                          lost.table_name, lost.name, lost.expression);
    end loop;
exception when others then
    raise warning using
        message = format('pg_herald could not follow this command: %s', sqlerrm),
        hint = 'If a watched table was dropped, run: '
               'delete from herald_internal.watch w '
               'where not exists (select from pg_class c where c.oid = w.table_name);';
end
$$;

create event trigger pg_herald_follow_ddl on ddl_command_end
    when tag in ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'ALTER TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA')
    execute function herald_internal.follow_ddl();
alter event trigger pg_herald_follow_ddl enable always;
comment on event trigger pg_herald_follow_ddl is 'Keeps the triggers and columns of watches in step with their tables.';

create event trigger pg_herald_follow_drop on sql_drop
    execute function herald_internal.follow_drop();
alter event trigger pg_herald_follow_drop enable always;
comment on event trigger pg_herald_follow_drop is 'Forgets the watches of dropped tables.';

-- Refuses to rename the extension's schemas: sessions, the worker and watches find everything by their names.
-- Called by the event trigger.
create function herald_internal.keep_schemas() returns event_trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    missing constant text := (
        select n
        from unnest(array['herald', 'herald_internal', 'herald_watch']) n
        where to_regnamespace(n) is null
        limit 1);
begin
    if missing is not null then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('cannot rename schema %s', missing),
            detail = 'The extension pg_herald finds its tables and functions by the name of this schema.',
            hint = 'Give another schema another name, or first run: drop extension pg_herald;';
    end if;
end
$$;

create event trigger pg_herald_keep_schemas on ddl_command_end
    when tag in ('ALTER SCHEMA')
    execute function herald_internal.keep_schemas();
alter event trigger pg_herald_keep_schemas enable always;
comment on event trigger pg_herald_keep_schemas is 'Refuses to rename the schemas of pg_herald.';
