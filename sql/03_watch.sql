-- Watches: which tables are captured, and how.

-- The functions of watches' expressions, and nothing else. Owners of watched tables may create in it only while
-- watch() runs, and nothing is ever looked up in it by name.
create schema herald_watch;

create sequence herald.watch_id_seq as bigint;
-- A version is never used twice, not even after a rollback: sessions keep what they loaded for one.
create sequence herald.watch_version_seq as bigint;

create table herald.watch (
    id bigint not null primary key default nextval('herald.watch_id_seq'),
    version bigint not null default nextval('herald.watch_version_seq'),
    table_name regclass not null,
    name text not null,
    operations text[] not null check (operations <@ array['insert', 'update', 'delete', 'truncate'] and operations <> '{}'),
    type text,
    include_columns text[],
    exclude_columns text[],
    on_change_of text[],
    on_error text not null default 'abort' check (on_error in ('abort', 'capture')),
    -- Which of the expressions there are; each is a function herald_watch._<id>_<expression>.
    expressions text[] not null default '{}',
    -- The table and the numbers that the columns named above have in it, so that a rename is followed.
    column_table oid,
    column_numbers jsonb not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    unique (table_name, name)
);

-- The role that asks, also inside a function that runs with the extension's rights.
create function herald._caller() returns regrole
    language c stable
    as 'MODULE_PATHNAME', 'caller_wrapper';

-- Runs "statement", which creates the function of one expression, as the table's owner. "prefix" is the length of
-- what stands before the expression in the statement, for the position of a fault.
-- Called by _create_expression. Writes: pg_proc.
create function herald._compile(statement text, prefix integer, expression text, label text, table_name regclass)
    returns void
    language c strict
    as 'MODULE_PATHNAME', 'compile_wrapper';

-- Lets a function go with its table, silently, at DROP TABLE.
-- Called by _create_expression. Writes: pg_depend.
create function herald._drop_with_table(function regprocedure, table_name regclass) returns void
    language c strict
    as 'MODULE_PATHNAME', 'drop_with_table_wrapper';

-- Creates the function of one expression of a watch.
-- Called by watch(). Writes: pg_proc, pg_depend.
create function herald._create_expression(watch_id bigint, expression_name text, expression text, table_name regclass)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    function_name constant text := format('_%s_%s', watch_id, expression_name);
    prefix text;
begin
    prefix := format(
        E'create function herald_watch.%I("new" %s, "old" %s, operation text) returns %s language sql\nreturn %s\n',
        function_name, table_name, table_name,
        case expression_name when 'condition' then 'boolean' when 'data' then 'json' else 'text' end,
        case expression_name when 'data' then 'pg_catalog.to_json(' else '(' end);
    perform herald._compile(prefix || expression || E'\n)', octet_length(prefix), expression, expression_name, table_name);
    perform herald._drop_with_table(p.oid, table_name)
    from pg_proc p
    where p.pronamespace = 'herald_watch'::regnamespace and p.proname = function_name;
end
$$;

-- The columns of a watch's lists have to exist in its table.
-- Called by watch(). Reads: pg_attribute.
create function herald._check_columns(table_name regclass, option_name text, columns text[]) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
    existing text[];
begin
    select array_agg(a.attname::text order by a.attnum) into existing
    from pg_attribute a
    where a.attrelid = table_name and a.attnum > 0 and not a.attisdropped;
    select c into missing from unnest(columns) c where c is null or c <> all (existing) limit 1;
    if found then
        raise exception using
            errcode = 'undefined_column',
            message = format('column "%s" of %s does not exist', missing, option_name),
            detail = format('%s has the columns %s.', table_name, array_to_string(existing, ', ')),
            hint = coalesce(format('Perhaps you meant "%s".', herald._nearest(missing, existing)),
                            format('Leave it out of %s.', option_name));
    end if;
end
$$;

-- The tables that a watch has triggers on: its table and all below it.
create function herald._tree(table_name regclass) returns setof oid
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    with recursive tree (relid) as (
        select table_name::oid
        union
        select i.inhrelid from pg_catalog.pg_inherits i join tree t on i.inhparent = t.relid
    )
    select relid from tree;
end;

-- Drops the triggers of one watch, on one table or on all.
-- Called by watch(), unwatch(), _sync_tree(). Writes: pg_trigger.
create function herald._drop_triggers(watch_id bigint, on_table oid default null) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    trigger record;
begin
    for trigger in
        select t.tgname, t.tgrelid::regclass as relation
        from pg_trigger t
        where t.tgfoid = 'herald._capture()'::regprocedure
        and t.tgname like format('pg\_herald\_%s\_%%', watch_id)
        and (on_table is null or t.tgrelid = on_table)
    loop
        execute format('drop trigger %I on %s', trigger.tgname, trigger.relation);
    end loop;
end
$$;

-- Creates the triggers of one watch on one table.
-- Called by watch(), _sync_tree(). Writes: pg_trigger.
create function herald._create_triggers(watch herald.watch, on_table oid) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    operation text;
begin
    foreach operation in array watch.operations loop
        execute format(
            'create trigger %I after %s on %s %s for each statement execute function herald._capture(%L, %L)',
            format('pg_herald_%s_%s', watch.id, operation), operation, on_table::regclass,
            case operation
                when 'insert' then 'referencing new table as new'
                when 'update' then 'referencing old table as old new table as new'
                when 'delete' then 'referencing old table as old'
                else ''
            end,
            watch.id, watch.version);
    end loop;
end
$$;

-- Refuses what cannot be watched, and whoever may not watch it.
-- Called by watch(), unwatch(), backfill(). Reads: pg_class.
create function herald._check_table(table_name regclass) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    class pg_class;
    schema_name text;
    foreign_part regclass;
begin
    select c.* into class from pg_class c where c.oid = table_name;
    if not found then
        raise exception using errcode = 'undefined_table', message = 'the table does not exist',
            hint = 'Pass the name of a table, for example herald.watch(''public.orders'').';
    end if;
    select n.nspname into schema_name from pg_namespace n where n.oid = class.relnamespace;
    if class.relkind not in ('r', 'p') then
        raise exception using
            errcode = 'wrong_object_type',
            message = format('"%s" cannot be watched', table_name),
            detail = format('It is a %s.', case class.relkind when 'v' then 'view' when 'm' then 'materialized view'
                when 'f' then 'foreign table' when 'S' then 'sequence' when 'i' then 'index' else 'relation of another kind' end),
            hint = case class.relkind when 'v' then 'Watch the tables behind the view.'
                when 'f' then 'Watch the table where it lives, with pg_herald there.' else 'Watch a table.' end;
    end if;
    if schema_name in ('pg_catalog', 'information_schema', 'pg_toast', 'herald', 'herald_watch') or class.relpersistence = 't' then
        raise exception using
            errcode = 'wrong_object_type',
            message = format('"%s" cannot be watched', table_name),
            detail = case when class.relpersistence = 't' then 'It is a temporary table.'
                when schema_name like 'herald%' then 'It belongs to pg_herald itself.'
                else 'It is a system table.' end,
            hint = 'Watch a permanent table of your own.';
    end if;
    if not pg_has_role(herald._caller(), class.relowner, 'usage') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('must be owner of table %s', table_name),
            detail = 'A watch sends every row of the table, whoever may read them.',
            hint = format('Have its owner, %I, call herald.watch(), or run: grant %I to %I;',
                          class.relowner::regrole::text, class.relowner::regrole::text, herald._caller()::text);
    end if;
    select t.relid::regclass into foreign_part
    from herald._tree(table_name) t (relid)
    join pg_class c on c.oid = t.relid
    where c.relkind = 'f'
    limit 1;
    if found then
        raise exception using
            errcode = 'wrong_object_type',
            message = format('"%s" cannot be watched', table_name),
            detail = format('Below it is the foreign table %s, on which PostgreSQL has no transition tables.', foreign_part),
            hint = 'Watch its local partitions one by one.';
    end if;
end
$$;

-- Starts to capture a table's changes, or changes how: with the name of an existing watch exactly the given options.
-- Writes: herald.watch, pg_trigger, pg_proc.
create function herald.watch(
    table_name regclass,
    name text default null,
    operations text[] default null,
    type text default null,
    type_expression text default null,
    condition text default null,
    data text default null,
    subject text default null,
    key text default null,
    tenant text default null,
    priority text default null,
    include_columns text[] default null,
    exclude_columns text[] default null,
    on_change_of text[] default null,
    on_error text default null
)
    returns table (watch text, watched regclass, created boolean)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    options constant jsonb := jsonb_strip_nulls(jsonb_build_object(
        'type_expression', watch.type_expression, 'condition', watch.condition, 'data', watch.data,
        'subject', watch.subject, 'key', watch.key, 'tenant', watch.tenant, 'priority', watch.priority));
    wanted_name constant text := coalesce(watch.name, 'default');
    owner regrole;
    existing herald.watch;
    entry herald.watch;
    expression record;
    relid oid;
    unknown text;
begin
    perform herald._check_table(watch.table_name);
    select c.relowner::regrole into owner from pg_class c where c.oid = watch.table_name;
    select w.* into existing from herald.watch w where w.table_name = watch.table_name and w.name = wanted_name for update;
    created := not found;

    select o into unknown from unnest(watch.operations) o
    where o is null or o not in ('insert', 'update', 'delete', 'truncate') limit 1;
    if found or watch.operations = '{}' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = case when watch.operations = '{}' then 'operations is empty'
                else format('unknown operation "%s"', unknown) end,
            detail = 'Operations are insert, update, delete and truncate.',
            hint = coalesce(format('Perhaps you meant "%s".', herald._nearest(unknown, array['insert', 'update', 'delete', 'truncate'])),
                            'Leave operations out to capture inserts, updates and deletes.');
    end if;
    if watch.on_error is not null and watch.on_error not in ('abort', 'capture') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown on_error "%s"', watch.on_error),
            hint = 'It is abort (a fault fails the statement) or capture (the row is captured with its default data).';
    end if;
    if watch.type is not null and watch.type_expression is not null then
        raise exception using errcode = 'invalid_parameter_value', message = 'type and type_expression exclude each other',
            hint = 'Give type for one fixed event type, type_expression to compute it from the row.';
    end if;
    if watch.type is not null then
        perform herald._check_event_type(watch.type);
    end if;
    if watch.include_columns is not null and watch.exclude_columns is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'include_columns and exclude_columns exclude each other', hint = 'Give one of them.';
    end if;
    perform herald._check_columns(watch.table_name, 'include_columns', watch.include_columns),
            herald._check_columns(watch.table_name, 'exclude_columns', watch.exclude_columns),
            herald._check_columns(watch.table_name, 'on_change_of', watch.on_change_of);

    if created then
        insert into herald.watch (table_name, name, operations)
        values (watch.table_name, wanted_name, array['insert', 'update', 'delete'])
        returning * into existing;
    end if;
    update herald.watch w set
        version = nextval('herald.watch_version_seq'),
        operations = coalesce(watch.operations, w.operations),
        type = case when watch.type_expression is null then coalesce(watch.type, w.type) end,
        include_columns = case when watch.exclude_columns is null then coalesce(watch.include_columns, w.include_columns) end,
        exclude_columns = case when watch.include_columns is null then coalesce(watch.exclude_columns, w.exclude_columns) end,
        on_change_of = coalesce(watch.on_change_of, w.on_change_of),
        on_error = coalesce(watch.on_error, w.on_error),
        expressions = array(
            select e from unnest(w.expressions) e
            where not (e = 'type_expression' and watch.type is not null)
            union
            select o from jsonb_object_keys(options) o
            order by 1),
        changed_at = clock_timestamp()
    where w.id = existing.id
    returning * into entry;

    -- An expression may run its owner's code already while it is compiled, so it is the owner who creates it.
    execute format('grant usage, create on schema herald_watch to %s', owner);
    for expression in select o.key as name, o.value as body from jsonb_each_text(options) o loop
        execute format('drop function if exists herald_watch.%I', format('_%s_%s', entry.id, expression.name));
        perform herald._create_expression(entry.id, expression.name, expression.body, watch.table_name);
    end loop;
    execute format('revoke all on schema herald_watch from %s', owner);
    if watch.type is not null then
        execute format('drop function if exists herald_watch.%I', format('_%s_type_expression', entry.id));
    end if;

    perform herald._note_columns(entry.id);
    perform herald._drop_triggers(entry.id);
    for relid in select t.relid from herald._tree(watch.table_name) t (relid) loop
        perform herald._create_triggers(entry, relid);
    end loop;
    watch := wanted_name;
    watched := table_name;
    return next;
end
$$;

-- Remembers which columns the lists of a watch name, so that a rename can be followed.
-- Called by watch(), _follow_ddl(). Writes: herald.watch.
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

-- Stops capturing a table: one of its watches, or all.
-- Writes: herald.watch, pg_trigger, pg_proc.
create function herald.unwatch(table_name regclass, name text default null)
    returns table (watch text, watched regclass)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry herald.watch;
    expression text;
begin
    perform herald._check_table(unwatch.table_name);
    if unwatch.name is not null
        and not exists (select from herald.watch w where w.table_name = unwatch.table_name and w.name = unwatch.name)
    then
        raise exception using
            errcode = 'undefined_object',
            message = format('%s has no watch "%s"', unwatch.table_name, unwatch.name),
            hint = coalesce(
                (select format('Perhaps you meant "%s".', herald._nearest(unwatch.name, array_agg(w.name)))
                 from herald.watch w where w.table_name = unwatch.table_name),
                'The table is not watched.');
    end if;
    for entry in
        delete from herald.watch w
        where w.table_name = unwatch.table_name and (unwatch.name is null or w.name = unwatch.name)
        returning *
    loop
        perform herald._drop_triggers(entry.id);
        foreach expression in array entry.expressions loop
            execute format('drop function if exists herald_watch.%I', format('_%s_%s', entry.id, expression));
        end loop;
        watch := entry.name;
        watched := entry.table_name;
        return next;
    end loop;
end
$$;
