-- Keeps watches in step with the tables' definitions: triggers on new partitions, renamed columns, dropped tables.
-- What capture needs to be right does not rest on this: it resolves columns by their number when it loads a watch.

-- The tables that a watch has triggers on: its table and all below it, where a trigger can be.
create function herald._tree(table_name regclass) returns setof oid
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    with recursive tree (relid) as (
        select table_name::oid
        union
        select i.inhrelid from pg_catalog.pg_inherits i join tree t on i.inhparent = t.relid
    )
    select t.relid
    from tree t
    join pg_catalog.pg_class c on c.oid = t.relid
    where c.relkind in ('r', 'p') and c.relpersistence <> 't';
end;

-- A foreign table in the tree below a table, if there is one: PostgreSQL refuses rows for it where transition tables
-- are wanted.
create function herald._foreign_part(table_name regclass) returns regclass
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    with recursive tree (relid) as (
        select table_name::oid
        union
        select i.inhrelid from pg_catalog.pg_inherits i join tree t on i.inhparent = t.relid
    )
    select c.oid::regclass
    from tree t
    join pg_catalog.pg_class c on c.oid = t.relid
    where c.relkind = 'f'
    limit 1;
end;

-- The triggers of watches, by what they call and with which argument: their names may be changed, and others may have
-- such names.
create function herald._triggers() returns table (table_oid oid, name text, watch_id bigint, operation text)
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    select t.tgrelid, t.tgname::text, case when a.id ~ '^[0-9]{1,18}$' then a.id::bigint end,
        case t.tgtype & 60 when 4 then 'insert' when 8 then 'delete' when 16 then 'update' when 32 then 'truncate' end
    from pg_catalog.pg_depend d
    join pg_catalog.pg_trigger t on t.oid = d.objid
    cross join lateral (select split_part(encode(t.tgargs, 'escape'), '\000', 1) as id) a
    where d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid = 'herald._capture()'::regprocedure
    and d.classid = 'pg_catalog.pg_trigger'::regclass;
end;

-- Creates the triggers of a watch where they are missing, and drops those that it does not want any more. Nothing is
-- locked where nothing is to do.
-- Called by watch(), unwatch(), _follow(). Writes: pg_trigger.
create function herald._sync_triggers(entry herald.watch) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    command text;
begin
    for command in
        with present as (
            select p.table_oid, p.name, p.operation from herald._triggers() p where p.watch_id = entry.id
        ),
        wanted as (
            select t.relid as table_oid, o as operation
            from herald._tree(entry.table_name) t (relid)
            cross join unnest(entry.operations) o
        )
        select format('drop trigger %I on %s', p.name, p.table_oid::regclass)
        from present p
        where not exists (select from wanted w where (w.table_oid, w.operation) = (p.table_oid, p.operation))
        union all
        select format('create trigger %I after %s on %s %s for each statement execute function herald._capture(%L)',
                      format('pg_herald_%s_%s', entry.id, w.operation), w.operation, w.table_oid::regclass,
                      case w.operation
                          when 'insert' then 'referencing new table as new'
                          when 'update' then 'referencing old table as old new table as new'
                          when 'delete' then 'referencing old table as old'
                          else ''
                      end,
                      entry.id)
        from wanted w
        where not exists (select from present p where (p.table_oid, p.operation) = (w.table_oid, w.operation))
    loop
        execute command;
    end loop;
end
$$;

-- The names that columns of a watch's list have now: renames are followed, dropped columns left out.
-- Called by load_watch.sql, _follow(), watch(). Reads: pg_attribute.
create function herald._current_columns(entry herald.watch, columns text[]) returns text[]
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

-- Remembers which columns the lists of a watch name.
-- Called by watch(), _follow(). Writes: herald.watch.
create function herald._note_columns(watch_id bigint) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald.watch w set
        column_table = w.table_name::oid,
        column_numbers = coalesce((
            select jsonb_object_agg(a.attname, a.attnum)
            from pg_attribute a
            where a.attrelid = w.table_name and a.attnum > 0 and not a.attisdropped
            and a.attname = any (coalesce(w.include_columns, '{}') || coalesce(w.exclude_columns, '{}')
                                 || coalesce(w.on_change_of, '{}'))), '{}')
    where w.id = watch_id
$$;

-- Brings one watch in step with the tables as they are now.
-- Called by _follow_ddl(). Writes: herald.watch, pg_trigger, pg_proc.
create function herald._follow(entry herald.watch) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    now_included constant text[] := herald._current_columns(entry, entry.include_columns);
    now_excluded constant text[] := herald._current_columns(entry, entry.exclude_columns);
    now_deciding constant text[] := herald._current_columns(entry, entry.on_change_of);
    foreign_part constant regclass := herald._foreign_part(entry.table_name);
    function_name regprocedure;
    owner oid;
begin
    -- While a dump is restored, the table comes before its triggers, and those of the dump must find their place free.
    if not exists (select from herald._triggers() t where t.table_oid = entry.table_name and t.watch_id = entry.id) then
        return;
    end if;
    if (now_included, now_excluded, now_deciding) is distinct from (entry.include_columns, entry.exclude_columns, entry.on_change_of)
        or entry.column_table is distinct from entry.table_name::oid
    then
        update herald.watch w
        set include_columns = now_included, exclude_columns = now_excluded, on_change_of = now_deciding
        where w.id = entry.id;
        perform herald._note_columns(entry.id);
        if now_deciding = '{}' and entry.on_change_of <> '{}' then
            raise warning using
                message = format('watch "%s" on %s captures no update any more', entry.name, entry.table_name),
                detail = 'The columns of its on_change_of were dropped.',
                hint = format('Run: select * from herald.watch(%L, %L, on_change_of => array[...]);', entry.table_name, entry.name);
        end if;
    end if;
    select c.relowner into owner from pg_class c where c.oid = entry.table_name;
    for function_name in
        select p.oid
        from unnest(entry.expressions) e
        join pg_proc p on p.oid = herald._expression_function(entry, e)
        where p.proowner <> owner
    loop
        execute format('alter function %s owner to %s', function_name, owner::regrole);
    end loop;
    -- After a restore the functions have other oids.
    update herald.watch w
    set functions = found.functions
    from (
        select coalesce(jsonb_object_agg(e, p.oid), '{}') as functions
        from unnest(entry.expressions) e
        join pg_proc p on p.oid = herald._expression_function(entry, e)
    ) found
    where w.id = entry.id and w.functions <> found.functions;
    -- pg_dump does not take this dependency along.
    perform herald._drop_with_table(p.oid, entry.table_name)
    from unnest(entry.expressions) e
    join pg_proc p on p.oid = herald._expression_function(entry, e)
    where not exists (
        select from pg_depend d
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass
        and d.refobjid = entry.table_name and d.refobjsubid = 0 and d.deptype = 'a');
    perform herald._sync_triggers(entry);
    if foreign_part is not null then
        raise warning using
            message = format('writes to %s will fail when they reach the foreign table %s', entry.table_name, foreign_part),
            detail = format('Watch "%s" captures %s, and PostgreSQL has no transition tables for foreign tables.', entry.name, entry.table_name),
            hint = format('Run: select * from herald.unwatch(%L, %L); and watch the local partitions one by one.', entry.table_name, entry.name);
    end if;
end
$$;

-- Follows DDL on watched tables and on those above and below them. It never fails the command.
-- Called by the event trigger. Writes: herald.watch, pg_trigger, pg_proc.
create function herald._follow_ddl() returns event_trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set quote_all_identifiers = off
as $$
declare
    entry herald.watch;
begin
    if not exists (select from herald.watch) then
        return;
    end if;
    for entry in
        with recursive up (relid) as (
            select c.objid from pg_event_trigger_ddl_commands() c where c.classid = 'pg_class'::regclass
            union
            select i.inhparent from pg_inherits i join up on i.inhrelid = up.relid
        )
        select w.*
        from herald.watch w
        where w.table_name in (select up.relid from up)
        -- A table that was taken out of the tree still has the triggers.
        or w.id in (select t.watch_id from herald._triggers() t where t.table_oid in (select up.relid from up))
    loop
        begin
            perform herald._follow(entry);
        exception when others then
            raise warning using
                message = format('watch "%s" on %s could not follow this command: %s', entry.name, entry.table_name, sqlerrm),
                hint = format('Run: select * from herald.watch(%L, %L);', entry.table_name, entry.name);
        end;
    end loop;
exception when others then
    raise warning using
        message = format('pg_herald could not follow this command: %s', sqlerrm),
        hint = 'Call herald.watch() for the tables that it changed, if they are watched.';
end
$$;

-- Forgets the watches of dropped tables, and says which watches lost an expression. It never fails the command.
-- Called by the event trigger. Writes: herald.watch.
create function herald._follow_drop() returns event_trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set quote_all_identifiers = off
as $$
declare
    lost record;
begin
    -- DROP EXTENSION pg_herald ends here too.
    if to_regclass('herald.watch') is null or not exists (select from herald.watch) then
        return;
    end if;
    delete from herald.watch w
    using pg_event_trigger_dropped_objects() o
    where o.classid = 'pg_class'::regclass and o.objsubid = 0 and w.table_name = o.objid;
    for lost in
        select w.name, w.table_name, f.key as expression
        from pg_event_trigger_dropped_objects() o
        cross join herald.watch w
        cross join jsonb_each_text(w.functions) f
        where o.classid = 'pg_proc'::regclass and o.schema_name = 'herald_watch' and o.objid = f.value::oid and not o.original
    loop
        raise warning using
            message = format('watch "%s" on %s lost its %s, so writes to the table fail until it has one', lost.name, lost.table_name, lost.expression),
            hint = format('Run: select * from herald.watch(%L, %L, %s => ...); or herald.unwatch(%1$L, %2$L).',
                          lost.table_name, lost.name, lost.expression);
    end loop;
exception when others then
    raise warning using
        message = format('pg_herald could not follow this command: %s', sqlerrm),
        hint = 'If a watched table was dropped, run: delete from herald.watch w where not exists (select from pg_class c where c.oid = w.table_name);';
end
$$;

create event trigger pg_herald_follow_ddl on ddl_command_end
    when tag in ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'ALTER TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA')
    execute function herald._follow_ddl();
alter event trigger pg_herald_follow_ddl enable always;
comment on event trigger pg_herald_follow_ddl is 'Keeps the triggers and columns of watches in step with their tables.';

create event trigger pg_herald_follow_drop on sql_drop
    execute function herald._follow_drop();
alter event trigger pg_herald_follow_drop enable always;
comment on event trigger pg_herald_follow_drop is 'Forgets the watches of dropped tables.';
