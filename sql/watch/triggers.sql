-- The triggers of watches: their tables, their kinds, and strays that belong to no watch.

-- Captures the changes of one statement on a watched table. Called by the triggers of watches.
-- Writes: herald.event.
create function herald_internal.capture() returns trigger
    language c
    as 'MODULE_PATHNAME', 'capture_wrapper';

-- Returns the tables on which a watch has triggers: its table and all below it that can have triggers.
create function herald_internal.tree(table_name regclass) returns setof oid
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

-- Returns the tables above a table: those of which it is a partition or a child, on all levels.
create function herald_internal.above(table_name regclass) returns setof oid
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    with recursive above (relid) as (
        select i.inhparent from pg_catalog.pg_inherits i where i.inhrelid = table_name
        union
        select i.inhparent from pg_catalog.pg_inherits i join above a on i.inhrelid = a.relid
    )
    select a.relid from above a;
end;

-- Whether rows of a table, or of a table below it, are also written through a table outside its tree, as a partition's
-- are.
create function herald_internal.is_part(table_name regclass) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
    return exists (
        select from herald_internal.tree(table_name) t (relid)
        join pg_inherits i on i.inhrelid = t.relid
        where i.inhparent not in (select b.relid from herald_internal.tree(table_name) b (relid)));

-- Returns a foreign table in the tree below a table, if any: PostgreSQL refuses rows for it if a trigger uses
-- transition tables.
create function herald_internal.foreign_part(table_name regclass) returns regclass
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

-- Returns the triggers of watches, identified by the function they call and its argument: they may be renamed, and
-- others may have such names. watch_id is null unless the argument is a number of at most 18 digits.
create function herald_internal.triggers()
    returns table (table_oid oid, name text, watch_id bigint, operation text, is_for_each_row boolean, enabled "char")
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    select t.tgrelid, t.tgname::text, case when a.id ~ '^[0-9]{1,18}$' then a.id::bigint end,
        case t.tgtype & 60 when 4 then 'insert' when 8 then 'delete' when 16 then 'update' when 32 then 'truncate' end,
        t.tgtype & 1 = 1, t.tgenabled
    from pg_catalog.pg_depend d
    join pg_catalog.pg_trigger t on t.oid = d.objid
    cross join lateral (select split_part(encode(t.tgargs, 'escape'), '\000', 1) as id) a
    where d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid = 'herald_internal.capture()'::regprocedure
    and d.classid = 'pg_catalog.pg_trigger'::regclass;
end;

-- Returns the triggers that capture nothing: their watch is missing, or their table is not in its tree. Copies of
-- watched tables, and tables from other databases, have such triggers.
create function herald_internal.stray_triggers() returns table (table_oid oid, name text)
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    with recursive covered (watch_id, relid) as (
        select w.id, w.table_name::oid from herald_internal.watch w
        union
        select c.watch_id, i.inhrelid from pg_catalog.pg_inherits i join covered c on i.inhparent = c.relid
    )
    select t.table_oid, t.name
    from herald_internal.triggers() t
    where not exists (select from covered c where (c.watch_id, c.relid) = (t.watch_id, t.table_oid));
end;

-- Returns the triggers that a watch wants. Statement triggers see only statements on their own table. So the tree of a
-- table that is itself part of another has triggers for each row, on the tables with rows: these fire whichever table
-- the statement names. The apply worker of a subscription makes rows, not statements.
-- Called by follow, missing_triggers, sync_triggers.
create function herald_internal.wanted_triggers(entry herald_internal.watch)
    returns table (table_oid oid, operation text, is_for_each_row boolean)
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    with kind as materialized (
        select (entry).replicated or herald_internal.is_part((entry).table_name) as is_by_row
    )
    select c.oid, o.operation, k.is_by_row and o.operation <> 'truncate'
    from kind k
    cross join herald_internal.tree((entry).table_name) t (relid)
    join pg_catalog.pg_class c on c.oid = t.relid
    cross join unnest((entry).operations) o (operation)
    where not k.is_by_row or c.relkind = 'r' or o.operation = 'truncate';
end;

-- Returns the triggers that a watch wants but does not have.
-- Called by follow, sync_triggers, doctor().
create function herald_internal.missing_triggers(entry herald_internal.watch)
    returns table (table_oid oid, operation text, is_for_each_row boolean)
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    select w.table_oid, w.operation, w.is_for_each_row from herald_internal.wanted_triggers(entry) w
    except
    select p.table_oid, p.operation, p.is_for_each_row from herald_internal.triggers() p where p.watch_id = (entry).id;
end;

-- Creates the missing triggers of a watch, and drops those it no longer wants. Locks only tables whose triggers change.
-- Called by watch(), follow(). Writes: pg_trigger.
create function herald_internal.sync_triggers(entry herald_internal.watch) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    command text;
begin
    for command in
        with wanted as materialized (select w.* from herald_internal.wanted_triggers(entry) w)
        select format('drop trigger %I on %s', p.name, p.table_oid::regclass)
        from herald_internal.triggers() p
        where p.watch_id = entry.id
        and not exists (
            select from wanted w
            where (w.table_oid, w.operation, w.is_for_each_row) = (p.table_oid, p.operation, p.is_for_each_row))
        union all
        select format('create trigger %I after %s on %s %s for each %s execute function herald_internal.capture(%L)',
                      format('pg_herald_%s_%s', entry.id, w.operation), w.operation, w.table_oid::regclass,
                      case when w.is_for_each_row then null
                          when w.operation = 'insert' then 'referencing new table as new'
                          when w.operation = 'update' then 'referencing old table as old new table as new'
                          when w.operation = 'delete' then 'referencing old table as old' end,
                      case when w.is_for_each_row then 'row' else 'statement' end,
                      entry.id)
        from herald_internal.missing_triggers(entry) w
    loop
        execute command;
    end loop;
    if entry.replicated then
        for command in
            select format('alter table %s enable always trigger %I', p.table_oid::regclass, p.name)
            from herald_internal.triggers() p
            where p.watch_id = entry.id and p.enabled = 'O'
        loop
            execute command;
        end loop;
    end if;
end
$$;

-- Drops all triggers of a watch, including those on copies and on tables taken out of the tree.
-- Called by watch(), unwatch(). Writes: pg_trigger.
create function herald_internal.drop_triggers(watch_id bigint) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    command text;
begin
    for command in
        select format('drop trigger %I on %s', t.name, t.table_oid::regclass)
        from herald_internal.triggers() t
        where t.watch_id = drop_triggers.watch_id
    loop
        execute command;
    end loop;
end
$$;

-- Drops the triggers in a table's tree that capture nothing.
-- Called by watch(), unwatch(). Writes: pg_trigger.
create function herald_internal.drop_stray_triggers(table_name regclass) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    stray record;
begin
    for stray in
        select s.table_oid::regclass as on_table, s.name
        from herald_internal.stray_triggers() s
        where s.table_oid in (select t from herald_internal.tree(drop_stray_triggers.table_name) t)
    loop
        execute format('drop trigger %I on %s', stray.name, stray.on_table);
        raise notice using
            message = format('dropped trigger %s on %s, which captured nothing', stray.name, stray.on_table),
            detail = 'It came with a copy of a watched table, and belonged to no watch of this one.';
    end loop;
end
$$;

-- Returns the subscription of logical replication that writes to a watch's tree, if any: to a table in it, or through
-- one above.
-- Called by watch(), doctor(). Reads: pg_subscription_rel.
create function herald_internal.replicated_by(table_name regclass) returns name
    language sql stable
    set search_path = pg_catalog, pg_temp
    return (
        select s.subname
        from pg_subscription_rel r
        join pg_subscription s on s.oid = r.srsubid
        where r.srrelid in (
            select t from herald_internal.tree(table_name) t
            union
            select a from herald_internal.above(table_name) a)
        order by 1
        limit 1);
