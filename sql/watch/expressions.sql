-- The expressions of watches: each becomes a function of the table's owner.

-- Runs "statement", which creates the function of one expression, as the table's owner. "prefix" is the number of
-- characters before the expression in the statement, to locate errors.
-- Called by create_expression. Writes: pg_proc.
create function herald_internal.compile(
    statement text, prefix integer, expression text, label text, table_name regclass
)
    returns void
    language c strict
    as 'MODULE_PATHNAME', 'compile_wrapper';

-- Raises an error if the text of an expression, or the name of a watch, is empty or too long.
-- Called by watch(), create_expression.
create function herald_internal.check_expression(label text, expression text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_expression_wrapper';

-- Whether DROP TABLE also drops a function.
-- Called by create_expression, follow. Reads: pg_depend.
create function herald_internal.goes_with_table(function regprocedure, table_name regclass) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
    return exists (
        select from pg_depend d
        where d.classid = 'pg_proc'::regclass and d.objid = function and d.refclassid = 'pg_class'::regclass
        and d.refobjid = table_name and d.refobjsubid = 0 and d.deptype = 'a');

-- Makes DROP TABLE drop a function with its table, silently.
-- Called by create_expression, follow. Writes: pg_depend.
create function herald_internal.drop_with_table(function regprocedure, table_name regclass) returns void
    language c strict
    as 'MODULE_PATHNAME', 'drop_with_table_wrapper';

-- Returns the function of one expression of a watch; null if it was dropped. This is the function that watch() made or,
-- if that is gone, as after a restore, the one with its name and exact arguments that belongs to the table's owner. By
-- then, another function may have the oid.
-- Called by load_watch_details.sql, _expressions_of_watches, create_expression, drop_expression, find_functions,
-- follow, note_functions.
create function herald_internal.expression_function(entry herald_internal.watch, expression_name text)
    returns regprocedure
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
         or p.proowner = c.relowner and not exists (
             select from pg_catalog.pg_proc k
             where k.oid = f.made and k.pronamespace = p.pronamespace and k.proname = p.proname));
end;

-- Raises an error if an expression is a constant with which no row can be captured, or to which nothing is equal.
-- Called by create_expression.
create function herald_internal.check_constant(function regprocedure, expression text, label text, table_name regclass)
    returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_constant_wrapper';

-- Raises an error if an expression is more than one value of one row: an aggregate, a window function or a set.
-- Called by create_expression. Reads: pg_proc.
create function herald_internal.check_function(function regprocedure, label text, expression text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'check_function_wrapper';

-- Returns the expressions for which a watch has functions: its own, and a type_expression replaced by a fixed type.
-- Called by find_functions, follow, note_functions, unwatch().
create function herald_internal.expressions_with_function(entry herald_internal.watch) returns setof text
    language sql stable
    set search_path = pg_catalog, pg_temp
begin atomic
    select unnest((entry).expressions)
    union
    select jsonb_object_keys((entry).functions);
end;

-- Drops the function of one expression of a watch, if it still exists. Nobody may be writing to the table.
-- Called by unwatch(). Writes: pg_proc.
create function herald_internal.drop_expression(entry herald_internal.watch, expression_name text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    function_name constant regprocedure := herald_internal.expression_function(entry, expression_name);
begin
    if function_name is not null then
        execute format('drop function %s', function_name);
    end if;
end
$$;

-- Creates the function of one expression of a watch, or replaces its body. It is never dropped while the table is
-- watched: a session that has just read the former definition and writes still calls it. Compiling an expression may
-- already run its owner's code, so the owner creates the function, in a schema used for nothing else.
-- Called by watch(). Writes: herald_internal.watch, pg_proc, pg_depend, pg_namespace.
create function herald_internal.create_expression(entry herald_internal.watch, expression_name text, expression text)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    table_name constant regclass := entry.table_name;
    owner constant regrole := (select c.relowner from pg_class c where c.oid = table_name);
    workshop constant text := format('herald_watch_%s', gen_random_uuid());
    function_name constant text := format('_%s_%s', entry.id, expression_name);
    prefix constant text := format(
        E'create or replace function %I.%I("new" %s, "old" %s, operation text) returns %s language sql\nreturn %s\n',
        workshop, function_name, table_name, table_name,
        case expression_name when 'condition' then 'boolean' when 'data' then 'json' else 'text' end,
        case expression_name when 'data' then 'pg_catalog.to_json(' else '(' end);
    present constant regprocedure := herald_internal.expression_function(entry, expression_name);
    made regprocedure;
    found_function record;
    virtual_column text;
begin
    perform herald_internal.check_expression(expression_name, expression);
    execute format('create schema %I', workshop);
    execute format('grant usage, create on schema %I to %s', workshop, owner);
    for found_function in
        select p.oid::regprocedure as name, p.oid = present and p.proowner = owner as is_kept
        from pg_proc p
        join pg_class c on c.oid = table_name
        where p.pronamespace = 'herald_watch'::regnamespace and p.proname = function_name
        and p.proargtypes = format('%s %s %s', c.reltype, c.reltype, 'text'::regtype::oid)::oidvector
    loop
        execute case when found_function.is_kept
            then format('alter function %s set schema %I', found_function.name, workshop)
            else format('drop function %s', found_function.name) end;
    end loop;
    perform herald_internal.compile(prefix || expression || E'\n)',
                                    length(prefix), expression, expression_name, table_name);
    select p.oid into strict made
    from pg_proc p
    where p.pronamespace = workshop::regnamespace and p.proname = function_name and p.proowner = owner;
    perform herald_internal.check_function(made, expression_name, expression);
    perform herald_internal.check_constant(made, expression, expression_name, table_name);
    select a.attname into virtual_column
    from pg_depend d
    join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and a.attgenerated = 'v'
    where d.classid = 'pg_proc'::regclass and d.objid = made
    and d.refclassid = 'pg_class'::regclass and d.refobjid = table_name
    limit 1;
    if found then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('the %s uses the virtual column "%s"', expression_name, virtual_column),
            detail = 'PostgreSQL does not compute virtual columns for triggers.',
            hint = 'Write what it is generated from instead, or make it a stored column.';
    end if;
    execute format('alter function %s set schema herald_watch', made);
    -- Fails if the expression made anything else.
    execute format('drop schema %I', workshop);
    if not herald_internal.goes_with_table(made, table_name) then
        perform herald_internal.drop_with_table(made, table_name);
    end if;
    update herald_internal.watch w
    set functions = w.functions || jsonb_build_object(expression_name, made::oid)
    where w.id = entry.id;
end
$$;
