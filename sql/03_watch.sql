-- Watches: which tables are captured, and how.

-- The functions of watches' expressions, and nothing else. Nobody ever gets CREATE in it, and nothing in it is looked up
-- by name alone.
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
    -- The oid of the function of each. A restore makes others of the same name and owner.
    functions jsonb not null default '{}',
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

-- Raises an error where the text of an expression, or the name of a watch, is too long.
-- Called by watch(), _create_expression.
create function herald._check_expression(label text, expression text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_expression_wrapper';

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

-- The function of one expression of a watch; null where it was dropped. It is the one that watch() made. Where that is
-- gone, as after a restore, it is the one with its name and exact arguments that belongs to the table's owner.
-- Called by load_watch_details.sql, _drop_expression, _follow.
create function herald._expression_function(entry herald.watch, expression_name text) returns regprocedure
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    select p.oid::regprocedure
    from pg_catalog.pg_class c
    join pg_catalog.pg_proc p
        on p.pronamespace = 'herald_watch'::regnamespace
        and p.proname = format('_%s_%s', (entry).id, expression_name)
        and p.proargtypes = format('%s %s %s', c.reltype, c.reltype, 'text'::regtype::oid)::oidvector
    cross join lateral (select ((entry).functions ->> expression_name)::oid as made) f
    where c.oid = (entry).table_name
    and (p.oid = f.made
         or p.proowner = c.relowner and not exists (select from pg_catalog.pg_proc k where k.oid = f.made));
end;

-- Drops the function of one expression of a watch, if it is still there, and forgets it.
-- Called by watch(), unwatch(). Writes: herald.watch, pg_proc.
create function herald._drop_expression(entry herald.watch, expression_name text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    function_name constant regprocedure := herald._expression_function(entry, expression_name);
begin
    if function_name is not null then
        execute format('drop function %s', function_name);
    end if;
    update herald.watch w set functions = w.functions - expression_name where w.id = entry.id;
end
$$;

-- Creates the function of one expression of a watch. An expression may run its owner's code already while it is
-- compiled, so it is the owner who creates it, in a schema that is there for nothing else.
-- Called by watch(). Writes: herald.watch, pg_proc, pg_depend, pg_namespace.
create function herald._create_expression(entry herald.watch, expression_name text, expression text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    table_name constant regclass := entry.table_name;
    owner constant regrole := (select c.relowner from pg_class c where c.oid = table_name);
    workshop constant text := format('herald_watch_%s', gen_random_uuid());
    function_name constant text := format('_%s_%s', entry.id, expression_name);
    prefix constant text := format(
        E'create function %I.%I("new" %s, "old" %s, operation text) returns %s language sql\nreturn %s\n',
        workshop, function_name, table_name, table_name,
        case expression_name when 'condition' then 'boolean' when 'data' then 'json' else 'text' end,
        case expression_name when 'data' then 'pg_catalog.to_json(' else '(' end);
    made regprocedure;
    in_the_way regprocedure;
begin
    perform herald._check_expression(expression_name, expression);
    perform herald._drop_expression(entry, expression_name);
    execute format('create schema %I', workshop);
    execute format('grant usage, create on schema %I to %s', workshop, owner);
    perform herald._compile(prefix || expression || E'\n)', length(prefix), expression, expression_name, table_name);
    select p.oid into strict made
    from pg_proc p
    where p.pronamespace = workshop::regnamespace and p.proname = function_name and p.proowner = owner;
    for in_the_way in
        select p.oid
        from pg_proc p
        join pg_proc m on m.oid = made and m.proname = p.proname and m.proargtypes = p.proargtypes
        where p.pronamespace = 'herald_watch'::regnamespace
    loop
        execute format('drop function %s', in_the_way);
    end loop;
    execute format('alter function %s set schema herald_watch', made);
    -- It fails if the expression made anything else.
    execute format('drop schema %I', workshop);
    perform herald._drop_with_table(made, table_name);
    update herald.watch w
    set functions = w.functions || jsonb_build_object(expression_name, made::oid)
    where w.id = entry.id;
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
    if cardinality(columns) > 1600 then
        raise exception using errcode = 'program_limit_exceeded', message = format('%s has too many columns', option_name),
            detail = format('It has %s, and a table has at most 1600.', cardinality(columns)), hint = 'Name each column once.';
    end if;
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
            -- Nobody becomes a superuser for the sake of a watch.
            hint = case when (select r.rolsuper from pg_roles r where r.oid = owner)
                then format('Have its owner, %s, call this function.', owner::regrole)
                else format('Have its owner, %s, call this function, or run: grant %1$s to %s;', owner::regrole, caller) end;
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
    if cardinality(operations) > cardinality(known) then
        raise exception using errcode = 'invalid_parameter_value', message = 'operations names one twice',
            detail = 'Operations are insert, update, delete and truncate.', hint = 'Name each operation once.';
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
    perform herald._check_expression('name', _watch.name);
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
    if 'data' = any (entry.expressions) and num_nonnulls(entry.include_columns, entry.exclude_columns) > 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('data and %s exclude each other',
                             case when entry.include_columns is null then 'exclude_columns' else 'include_columns' end),
            detail = 'The expression data sees all columns, so what it gives would have what the list leaves out.',
            hint = case when created or (_watch.data is not null and num_nonnulls(_watch.include_columns, _watch.exclude_columns) > 0)
                then 'Give one of them: data can build what it shows, for example json_build_object(''id'', new.id).'
                else format('To take the other back, first run: select * from herald.unwatch(%L, %L);', _watch.table_name, wanted_name) end;
    end if;
    perform herald._note_columns(entry.id);

    for expression in select o.key as name, o.value as body from jsonb_each_text(given) o loop
        perform herald._create_expression(entry, expression.name, expression.body);
    end loop;
    if _watch.type is not null then
        perform herald._drop_expression(entry, 'type_expression');
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
            perform herald._drop_expression(entry, expression);
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
