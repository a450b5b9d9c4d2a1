-- Watches: which tables are captured, and how.

-- The functions of watches' expressions, and nothing else. Owners of watched tables may create in it only while
-- watch() runs, and nothing in it is looked up by name alone.
create schema herald_watch;

create sequence herald.watch_id_seq as bigint;

create table herald.watch (
    id bigint not null primary key default nextval('herald.watch_id_seq'),
    table_name regclass not null,
    name text not null check (name <> ''),
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
    constraint watch_of_table unique (table_name, name)
);

-- The role that asks, also inside a function that runs with the extension's rights.
create function herald._caller() returns regrole
    language c stable
    as 'MODULE_PATHNAME', 'caller_wrapper';

-- Runs "statement", which creates the function of one expression, as the table's owner. "prefix" is the number of
-- characters before the expression in the statement, for the position of a fault.
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

-- Makes all sessions load the watches of a table again once this transaction has committed.
-- Called by watch().
create function herald._announce_change(table_name regclass) returns void
    language c strict
    as 'MODULE_PATHNAME', 'announce_change_wrapper';

-- The function of one expression of a watch, by its exact arguments; null where it was dropped.
-- Called by load_watch.sql, _create_expression, _drop_expression, _follow.
create function herald._expression_function(watch_id bigint, table_name regclass, expression_name text)
    returns regprocedure
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    select p.oid::regprocedure
    from pg_catalog.pg_class c
    join pg_catalog.pg_proc p
        on p.pronamespace = 'herald_watch'::regnamespace
        and p.proname = format('_%s_%s', watch_id, expression_name)
        and p.proargtypes = format('%s %s %s', c.reltype, c.reltype, 'text'::regtype::oid)::oidvector
    where c.oid = table_name;
end;

-- Drops the function of one expression of a watch, if it is still there.
-- Called by watch(), unwatch(). Writes: pg_proc.
create function herald._drop_expression(watch_id bigint, table_name regclass, expression_name text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    function_name constant regprocedure := herald._expression_function(watch_id, table_name, expression_name);
begin
    if function_name is not null then
        execute format('drop function %s', function_name);
    end if;
end
$$;

-- Creates the function of one expression of a watch. An expression may run its owner's code already while it is
-- compiled, so it is the owner who creates it.
-- Called by watch(). Writes: pg_proc, pg_depend, pg_namespace.
create function herald._create_expression(watch_id bigint, expression_name text, expression text, table_name regclass)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    owner constant regrole := (select c.relowner from pg_class c where c.oid = table_name);
    prefix constant text := format(
        E'create function herald_watch.%I("new" %s, "old" %s, operation text) returns %s language sql\nreturn %s\n',
        format('_%s_%s', watch_id, expression_name), table_name, table_name,
        case expression_name when 'condition' then 'boolean' when 'data' then 'json' else 'text' end,
        case expression_name when 'data' then 'pg_catalog.to_json(' else '(' end);
    is_open constant boolean := has_schema_privilege(owner, 'herald_watch', 'create, usage');
begin
    perform herald._drop_expression(watch_id, table_name, expression_name);
    if not is_open then
        -- Two grants at once would collide.
        lock table herald.watch in share update exclusive mode;
        execute format('grant usage, create on schema herald_watch to %s', owner);
    end if;
    perform herald._compile(prefix || expression || E'\n)', length(prefix), expression, expression_name, table_name);
    if not is_open then
        execute format('revoke all on schema herald_watch from %s', owner);
    end if;
    perform herald._drop_with_table(herald._expression_function(watch_id, table_name, expression_name), table_name);
end
$$;

-- The columns of a watch's list have to exist in its table.
-- Called by watch(). Reads: pg_attribute.
create function herald._check_columns(table_name regclass, option_name text, columns text[]) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
    existing text[];
begin
    if columns is null then
        return;
    end if;
    select array_agg(a.attname::text order by a.attnum) into existing
    from pg_attribute a
    where a.attrelid = table_name and a.attnum > 0 and not a.attisdropped;
    if columns = '{}' or array_position(columns, null) is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format(case when columns = '{}' then '%s is empty' else '%s contains null' end, option_name),
            detail = format('%s has the columns %s.', table_name, array_to_string(existing, ', ')),
            hint = format('Name at least one column, or leave %s out. To take an option back, call herald.unwatch() first.', option_name);
    end if;
    select c into missing from unnest(columns) c where c <> all (existing) limit 1;
    if found then
        raise exception using
            errcode = 'undefined_column',
            message = format('column "%s" of %s does not exist', missing, option_name),
            detail = format('%s has the columns %s.', table_name, array_to_string(existing, ', ')),
            hint = coalesce(herald._perhaps(missing, existing),
                            format('Leave it out of %s.', option_name));
    end if;
end
$$;

-- Refuses whoever may not decide what is captured of a table.
-- Called by watch(), unwatch(). Reads: pg_class.
create function herald._check_owner(table_name regclass) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    caller constant regrole := herald._caller();
    owner oid;
begin
    select c.relowner into owner from pg_class c where c.oid = table_name;
    if not found then
        raise exception using errcode = 'undefined_table', message = 'the table does not exist',
            detail = case when table_name is null then 'The given table is null.' else format('There is no table with the oid %s.', table_name::oid) end,
            hint = 'Pass the name of a table, for example herald.watch(''public.orders'').';
    end if;
    if not pg_has_role(caller, owner, 'usage') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('must be owner of table %s', table_name),
            detail = 'A watch sends every row of the table, whoever may read them.',
            hint = format('Have its owner, %s, call this function, or run: grant %1$s to %s;', owner::regrole, caller);
    end if;
end
$$;

-- Refuses what cannot be watched.
-- Called by watch(). Reads: pg_class.
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
    select n.nspname into schema_name from pg_namespace n where n.oid = class.relnamespace;
    if class.relkind not in ('r', 'p') then
        raise exception using
            errcode = 'wrong_object_type',
            message = format('"%s" cannot be watched', table_name),
            detail = format('It is %s.', case class.relkind when 'v' then 'a view' when 'm' then 'a materialized view'
                when 'f' then 'a foreign table' when 'S' then 'a sequence' when 'c' then 'a composite type' else 'an index' end),
            hint = case when class.relkind in ('v', 'm') then 'Watch the tables behind the view.'
                when class.relkind = 'f' then 'Watch the table where it lives, with pg_herald there.' else 'Watch a table.' end;
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
    foreign_part := herald._foreign_part(table_name);
    if foreign_part is not null then
        raise exception using
            errcode = 'wrong_object_type',
            message = format('"%s" cannot be watched', table_name),
            detail = format('Below it is the foreign table %s, on which PostgreSQL has no transition tables.', foreign_part),
            hint = 'Watch its local partitions one by one.';
    end if;
end
$$;

-- Refuses options that are wrong whatever the table.
-- Called by watch().
create function herald._check_options(operations text[], type text, type_expression text, include_columns text[],
                                      exclude_columns text[], on_error text) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    known constant text[] := array['insert', 'update', 'delete', 'truncate'];
    unknown text;
begin
    select coalesce(o, 'null') into unknown from unnest(operations) o where o is null or o <> all (known) limit 1;
    if found or operations = '{}' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = case when operations = '{}' then 'operations is empty' else format('unknown operation "%s"', unknown) end,
            detail = 'Operations are insert, update, delete and truncate.',
            hint = coalesce(herald._perhaps(unknown, known),
                            'Leave operations out to capture inserts, updates and deletes.');
    end if;
    if on_error not in ('abort', 'capture') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown on_error "%s"', on_error),
            detail = 'With abort a fault in an expression fails the statement, with capture the row is captured with its default data.',
            hint = format('Perhaps you meant "%s".', coalesce(herald._nearest(on_error, array['abort', 'capture']), 'abort'));
    end if;
    if type is not null and type_expression is not null then
        raise exception using errcode = 'invalid_parameter_value', message = 'type and type_expression exclude each other',
            detail = format('type is "%s", type_expression is %s.', type, type_expression),
            hint = 'Give type for one fixed event type, type_expression to compute it from the row.';
    end if;
    perform herald._check_event_type(type);
    if include_columns is not null and exclude_columns is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'include_columns and exclude_columns exclude each other',
            detail = 'The one lists the columns that records show, the other those that they leave out.', hint = 'Give one of them.';
    end if;
end
$$;

-- herald.watch() and herald.unwatch() are made from _watch and _unwatch at the end of this file: C functions of the same
-- signature, which call them with the extension's rights and remember who called.

-- Starts to capture a table's changes, or changes how: with the name of an existing watch exactly the given options.
-- Writes: herald.watch, pg_trigger, pg_proc.
create function herald._watch(
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
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    given constant jsonb := jsonb_strip_nulls(jsonb_build_object(
        'type_expression', _watch.type_expression, 'condition', _watch.condition, 'data', _watch.data,
        'subject', _watch.subject, 'key', _watch.key, 'tenant', _watch.tenant, 'priority', _watch.priority));
    wanted_name constant text := coalesce(_watch.name, 'default');
    existing herald.watch;
    entry herald.watch;
    expression record;
begin
    perform herald._check_owner(_watch.table_name);
    perform herald._check_table(_watch.table_name);
    perform herald._check_options(_watch.operations, _watch.type, _watch.type_expression, _watch.include_columns,
                                  _watch.exclude_columns, _watch.on_error);
    perform herald._check_columns(_watch.table_name, 'include_columns', _watch.include_columns),
            herald._check_columns(_watch.table_name, 'exclude_columns', _watch.exclude_columns),
            herald._check_columns(_watch.table_name, 'on_change_of', _watch.on_change_of);

    insert into herald.watch (table_name, name, operations)
    values (_watch.table_name, wanted_name, array['insert', 'update', 'delete'])
    on conflict on constraint watch_of_table do nothing;
    created := found;
    select w.* into existing from herald.watch w where w.table_name = _watch.table_name and w.name = wanted_name for update;
    update herald.watch w set
        operations = coalesce(_watch.operations, w.operations),
        type = case when _watch.type_expression is null then coalesce(_watch.type, w.type) end,
        include_columns = case when _watch.exclude_columns is null
            then coalesce(_watch.include_columns, herald._current_columns(existing, w.include_columns)) end,
        exclude_columns = case when _watch.include_columns is null
            then coalesce(_watch.exclude_columns, herald._current_columns(existing, w.exclude_columns)) end,
        on_change_of = coalesce(_watch.on_change_of, herald._current_columns(existing, w.on_change_of)),
        on_error = coalesce(_watch.on_error, w.on_error),
        expressions = array(
            select e from unnest(w.expressions) e
            where not (e = 'type_expression' and _watch.type is not null)
            union
            select o from jsonb_object_keys(given) o
            order by 1),
        changed_at = clock_timestamp()
    where w.id = existing.id
    returning * into entry;
    perform herald._note_columns(entry.id);

    for expression in select o.key as name, o.value as body from jsonb_each_text(given) o loop
        perform herald._create_expression(entry.id, expression.name, expression.body, _watch.table_name);
    end loop;
    if _watch.type is not null then
        perform herald._drop_expression(entry.id, _watch.table_name, 'type_expression');
    end if;
    perform herald._sync_triggers(entry);
    perform herald._announce_change(_watch.table_name);
    watch := wanted_name;
    watched := table_name;
    return next;
end
$$;

-- Stops capturing a table: one of its watches, or all.
-- Writes: herald.watch, pg_trigger, pg_proc.
create function herald._unwatch(table_name regclass, name text default null)
    returns table (watch text, watched regclass)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    names constant text[] := array(select w.name from herald.watch w where w.table_name = _unwatch.table_name order by 1);
    entry herald.watch;
    expression text;
begin
    perform herald._check_owner(_unwatch.table_name);
    if _unwatch.name is not null and _unwatch.name <> all (names) then
        raise exception using
            errcode = 'undefined_object',
            message = format('%s has no watch "%s"', _unwatch.table_name, _unwatch.name),
            detail = case when names = '{}' then 'The table is not watched.'
                else format('Its watches are %s.', array_to_string(names, ', ')) end,
            hint = coalesce(herald._perhaps(_unwatch.name, names),
                            'Leave the name out to end all watches of the table.');
    end if;
    for entry in
        delete from herald.watch w
        where w.table_name = _unwatch.table_name and (_unwatch.name is null or w.name = _unwatch.name)
        returning *
    loop
        foreach expression in array entry.expressions loop
            perform herald._drop_expression(entry.id, entry.table_name, expression);
        end loop;
        -- Of one that wants nothing all triggers go, on tables that were taken out of the tree as well.
        entry.operations := '{}';
        perform herald._sync_triggers(entry);
        watch := entry.name;
        watched := entry.table_name;
        return next;
    end loop;
end
$$;

do $$
declare
    internal record;
begin
    for internal in
        select p.oid, p.proname from pg_proc p
        where p.pronamespace = 'herald'::regnamespace and p.proname in ('_watch', '_unwatch')
    loop
        execute format('create function herald.%I(%s) returns %s language c as %L, %L', substr(internal.proname, 2),
                       pg_get_function_arguments(internal.oid), pg_get_function_result(internal.oid),
                       'MODULE_PATHNAME', 'with_rights_wrapper');
    end loop;
end
$$;
