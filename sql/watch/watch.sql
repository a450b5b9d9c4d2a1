-- Watches: which tables are captured, and how.

-- Holds the functions of watches' expressions, and nothing else. No role ever gets CREATE on it, and nothing in it is
-- looked up by name alone.
create schema herald_watch;

create sequence herald_internal.watch_id_seq as bigint;

create table herald_internal.watch (
    id bigint not null primary key default nextval('herald_internal.watch_id_seq'),
    table_name regclass not null,
    name text not null check (name <> ''),
    operations text[] not null
        check (operations <@ array['insert', 'update', 'delete', 'truncate'] and operations <> '{}'),
    type text,
    include_columns text[],
    exclude_columns text[],
    on_change_of text[],
    -- Whether to capture what a subscription of logical replication writes.
    replicated boolean not null default false,
    on_error text not null default 'abort' check (on_error in ('abort', 'capture')),
    -- Which expressions exist; each is a function herald_watch._<id>_<expression>.
    expressions text[] not null default '{}',
    -- The oid of each function. A restore makes new functions with the same name and owner.
    functions jsonb not null default '{}',
    -- The table, and the numbers in it of the columns named above, to follow renames.
    column_table oid,
    column_numbers jsonb not null default '{}',
    -- The schema and name of the table when watch() was last called.
    known_as text,
    created_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    constraint watch_of_table unique (table_name, name)
);

-- Returns the calling role, also inside a function that runs with the extension's rights.
create function herald_internal.caller() returns regrole
    language c stable
    as 'MODULE_PATHNAME', 'caller_wrapper';

-- Makes all sessions reload a table's watches once this transaction commits.
-- Called by watch().
create function herald_internal.announce_change(table_name regclass) returns void
    language c strict
    as 'MODULE_PATHNAME', 'announce_change_wrapper';

-- Returns the columns that are generated on read: triggers get null for them. They exist since PostgreSQL 18.
-- Called by check_columns, warn_of_gaps. Reads: pg_attribute.
create function herald_internal.virtual_columns(table_name regclass) returns text[]
    language sql stable
    set search_path = pg_catalog, pg_temp
    return array(
        select a.attname::text from pg_attribute a
        where a.attrelid = table_name and a.attgenerated = 'v' and not a.attisdropped
        order by a.attnum);

-- Raises an error unless the columns of a watch's list exist in its table, and have values when its triggers fire.
-- Called by watch(). Reads: pg_attribute.
create function herald_internal.check_columns(table_name regclass, option_name text, columns text[]) returns void
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
        raise exception using errcode = 'program_limit_exceeded',
            message = format('%s has too many columns', option_name),
            detail = format('It has %s, and a table has at most 1600.', cardinality(columns)),
            hint = 'Name each column once.';
    end if;
    if array_ndims(columns) > 1 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%s has more than one dimension', option_name),
            hint = format('Write %s => ''{...}'' without braces within.', option_name);
    end if;
    if columns = '{}' or array_position(columns, null) is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format(case when columns = '{}' then '%s is empty' else '%s contains null' end, option_name),
            detail = format('%s has the columns %s.', table_name, array_to_string(existing, ', ')),
            hint = format(
                'Name at least one column, or leave %s out. To take an option back, call herald.unwatch() first.',
                option_name);
    end if;
    select c into missing from unnest(columns) c where c <> all (existing) limit 1;
    if found then
        raise exception using
            errcode = 'undefined_column',
            message = format('column "%s" of %s does not exist', missing, option_name),
            detail = format('%s has the columns %s.', table_name, array_to_string(existing, ', ')),
            hint = coalesce(herald_internal.perhaps(missing, existing),
                            format('Leave it out of %s.', option_name));
    end if;
    select c into missing from unnest(columns) c where c = any (herald_internal.virtual_columns(table_name)) limit 1;
    if found and option_name <> 'exclude_columns' then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('column "%s" of %s is generated virtually', missing, option_name),
            detail = 'PostgreSQL does not compute virtual columns for triggers.',
            hint = format('Leave it out of %s, or make it a stored column.', option_name);
    end if;
end
$$;

-- Raises an error unless the caller may decide what is captured of a table.
-- Called by watch(), unwatch(). Reads: pg_class.
create function herald_internal.check_owner(table_name regclass) returns void
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    caller constant regrole := herald_internal.caller();
    owner oid;
begin
    select c.relowner into owner from pg_class c where c.oid = table_name;
    if not found then
        raise exception using errcode = 'undefined_table', message = 'the table does not exist',
            detail = case when table_name is null then 'The given table is null.'
                else format('There is no table with the oid %s.', table_name::oid) end,
            hint = 'Pass the name of a table, for example herald.watch(''public.orders'').';
    end if;
    if not pg_has_role(caller, owner, 'usage') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('must be owner of table %s', table_name),
            detail = 'A watch sends every row of the table, whoever may read them.',
            -- No role should become a superuser for a watch.
            hint = case when (select r.rolsuper from pg_roles r where r.oid = owner)
                then format('Have its owner, %s, call this function.', owner::regrole)
                else format('Have its owner, %s, call this function, or run: grant %1$s to %s;',
                            owner::regrole, caller) end;
    end if;
end
$$;

-- Raises an error if a table cannot be watched.
-- Called by watch(). Reads: pg_class.
create function herald_internal.check_table(table_name regclass) returns void
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
                when 'f' then 'a foreign table' when 'S' then 'a sequence' when 'c' then 'a composite type'
                else 'an index' end),
            hint = case when class.relkind in ('v', 'm') then 'Watch the tables behind the view.'
                when class.relkind = 'f' then 'Watch the table where it lives, with pg_herald there.'
                else 'Watch a table.' end;
    end if;
    if schema_name in ('pg_catalog', 'information_schema', 'pg_toast', 'herald', 'herald_internal', 'herald_watch')
        or class.relpersistence = 't'
    then
        raise exception using
            errcode = 'wrong_object_type',
            message = format('"%s" cannot be watched', table_name),
            detail = case when class.relpersistence = 't' then 'It is a temporary table.'
                when schema_name like 'herald%' then 'It belongs to pg_herald itself.'
                else 'It is a system table.' end,
            hint = 'Watch a permanent table of your own.';
    end if;
    foreign_part := herald_internal.foreign_part(table_name);
    if foreign_part is not null then
        raise exception using
            errcode = 'wrong_object_type',
            message = format('"%s" cannot be watched', table_name),
            detail = format('Below it is the foreign table %s, on which PostgreSQL has no transition tables.',
                            foreign_part),
            hint = 'Watch its local partitions one by one.';
    end if;
end
$$;

-- Raises an error if an option is wrong for any table.
-- Called by watch().
create function herald_internal.check_options(
    operations text[], type text, type_expression text, include_columns text[], exclude_columns text[], on_error text
)
    returns void
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
            message = case when operations = '{}' then 'operations is empty'
                else format('unknown operation "%s"', unknown) end,
            detail = 'Operations are insert, update, delete and truncate.',
            hint = coalesce(herald_internal.perhaps(unknown, known),
                            'Leave operations out to capture inserts, updates and deletes.');
    end if;
    if array_ndims(operations) > 1 then
        raise exception using errcode = 'invalid_parameter_value', message = 'operations has more than one dimension',
            hint = 'Write operations => ''{insert,update}''.';
    end if;
    if cardinality(operations) > cardinality(known) then
        raise exception using errcode = 'invalid_parameter_value', message = 'operations contains a duplicate',
            detail = 'Operations are insert, update, delete and truncate.', hint = 'Name each operation once.';
    end if;
    if on_error not in ('abort', 'capture') then
        raise exception using errcode = 'invalid_parameter_value', message = format('unknown on_error "%s"', on_error),
            detail = 'With abort a fault in an expression fails the statement, '
                     'with capture the row is captured with its default data.',
            hint = format('Perhaps you meant "%s".',
                          coalesce(herald_internal.nearest(on_error, array['abort', 'capture']), 'abort'));
    end if;
    if type is not null and type_expression is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'type and type_expression exclude each other',
            detail = format('type is "%s", type_expression is %s.', type, type_expression),
            hint = 'Give type for one fixed event type, type_expression to compute it from the row.';
    end if;
    perform herald_internal.check_event_type(type);
    if include_columns is not null and exclude_columns is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'include_columns and exclude_columns exclude each other',
            detail = 'include_columns lists the columns that records show, exclude_columns those that they omit.',
            hint = 'Give one of them.';
    end if;
end
$$;

-- Warns of changes that a watch does not capture.
-- Called by watch(). Reads: pg_subscription_rel.
create function herald_internal.warn_of_gaps(entry herald_internal.watch) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    subscription constant name := herald_internal.replicated_by(entry.table_name);
    left_out constant text[] := array(
        select c from unnest(herald_internal.virtual_columns(entry.table_name)) c
        where entry.include_columns is null and c <> all (coalesce(entry.exclude_columns, '{}')));
begin
    if left_out <> '{}' then
        raise warning using
            message = format('records of %s do not show its virtual columns', entry.table_name),
            detail = format('PostgreSQL does not compute them for triggers: %s.', array_to_string(left_out, ', ')),
            hint = 'Make them stored columns where receivers need them, or name them in exclude_columns.';
    end if;
    if subscription is not null and not entry.replicated then
        raise warning using
            message = format('what subscription "%s" writes to %s is not captured', subscription, entry.table_name),
            detail = 'Logical replication fires no ordinary triggers. '
                     'If the publisher captures the table as well, both send its changes.',
            hint = format('To capture it here, run: select * from herald.watch(%L, %L, replicated => true);',
                          entry.table_name, entry.name);
    end if;
end
$$;

-- The end of this file makes herald.watch() and herald.unwatch() from watch and unwatch: C functions of the same
-- signature, which remember the caller and call these with the extension's rights.

-- Starts to capture a table's changes. If the watch exists, only the given options change.
-- Writes: herald_internal.watch, pg_trigger, pg_proc.
create function herald_internal._watch(
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
    on_error text default null,
    replicated boolean default null
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
    name_of_table text;
    existing herald_internal.watch;
    entry herald_internal.watch;
    expression record;
begin
    perform herald_internal.check_owner(_watch.table_name);
    perform herald_internal.check_table(_watch.table_name);
    perform herald_internal.check_expression('name', _watch.name);
    perform herald_internal.check_options(
        _watch.operations, _watch.type, _watch.type_expression, _watch.include_columns, _watch.exclude_columns,
        _watch.on_error);
    perform herald_internal.check_columns(_watch.table_name, 'include_columns', _watch.include_columns),
            herald_internal.check_columns(_watch.table_name, 'exclude_columns', _watch.exclude_columns),
            herald_internal.check_columns(_watch.table_name, 'on_change_of', _watch.on_change_of);

    select format('%I.%I', n.nspname, c.relname) into name_of_table
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = _watch.table_name;
    insert into herald_internal.watch (table_name, name, operations, known_as)
    values (_watch.table_name, wanted_name, array['insert', 'update', 'delete'], name_of_table)
    on conflict on constraint watch_of_table do nothing;
    created := found;
    select w.* into existing
    from herald_internal.watch w
    where w.table_name = _watch.table_name and w.name = wanted_name
    for update;
    update herald_internal.watch w set
        operations = coalesce(_watch.operations, w.operations),
        type = case when _watch.type_expression is null then coalesce(_watch.type, w.type) end,
        include_columns = case when _watch.exclude_columns is null
            then coalesce(_watch.include_columns, herald_internal.current_columns(existing, w.include_columns)) end,
        exclude_columns = case when _watch.include_columns is null
            then coalesce(_watch.exclude_columns, herald_internal.current_columns(existing, w.exclude_columns)) end,
        on_change_of = coalesce(_watch.on_change_of, herald_internal.current_columns(existing, w.on_change_of)),
        on_error = coalesce(_watch.on_error, w.on_error),
        replicated = coalesce(_watch.replicated, w.replicated),
        known_as = name_of_table,
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
            hint = case when created
                    or (_watch.data is not null and num_nonnulls(_watch.include_columns, _watch.exclude_columns) > 0)
                then 'Give one of them: data can build what it shows, for example json_build_object(''id'', new.id).'
                else format('To take the other back, first run: select * from herald.unwatch(%L, %L);',
                            _watch.table_name, wanted_name) end;
    end if;
    perform herald_internal.note_columns(entry.id);

    for expression in select o.key as name, o.value as body from jsonb_each_text(given) o loop
        perform herald_internal.create_expression(entry, expression.name, expression.body);
    end loop;
    -- A session that has just read that a type_expression exists must produce this type as well.
    if _watch.type is not null and entry.functions ? 'type_expression' then
        perform herald_internal.create_expression(entry, 'type_expression', quote_literal(_watch.type));
    end if;
    perform herald_internal.drop_stray_triggers(_watch.table_name);
    if entry.replicated <> existing.replicated then
        perform herald_internal.drop_triggers(entry.id);
    end if;
    perform herald_internal.sync_triggers(entry);
    perform herald_internal.announce_change(_watch.table_name);
    perform herald_internal.warn_of_gaps(entry);
    watch := wanted_name;
    watched := table_name;
    return next;
end
$$;

-- Stops capturing a table: one of its watches, or all.
-- Writes: herald_internal.watch, pg_trigger, pg_proc.
create function herald_internal._unwatch(table_name regclass, name text default null)
    returns table (watch text, watched regclass)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    names constant text[] := array(
        select w.name from herald_internal.watch w where w.table_name = _unwatch.table_name order by 1);
    entry herald_internal.watch;
begin
    perform herald_internal.check_owner(_unwatch.table_name);
    if _unwatch.name is not null and _unwatch.name <> all (names) then
        raise exception using
            errcode = 'undefined_object',
            message = format('%s has no watch "%s"', _unwatch.table_name, _unwatch.name),
            detail = case when names = '{}' then 'The table is not watched.'
                else format('Its watches are %s.', array_to_string(names, ', ')) end,
            hint = coalesce(herald_internal.perhaps(_unwatch.name, names),
                            'Leave the name out to end all watches of the table.');
    end if;
    for entry in
        with ended as (
            delete from herald_internal.watch w
            where w.table_name = _unwatch.table_name and (_unwatch.name is null or w.name = _unwatch.name)
            returning w.*
        )
        select e.* from ended e order by e.name
    loop
        -- Waits for the writers, which call the functions.
        perform herald_internal.drop_triggers(entry.id);
        perform herald_internal.drop_expression(entry, e) from herald_internal.expressions_with_function(entry) e;
        watch := entry.name;
        watched := entry.table_name;
        return next;
    end loop;
    perform herald_internal.drop_stray_triggers(_unwatch.table_name);
end
$$;

do $$
declare
    internal record;
begin
    for internal in
        select p.oid, p.proname from pg_proc p
        where p.pronamespace = 'herald_internal'::regnamespace and p.proname in ('_watch', '_unwatch')
    loop
        execute format('create function herald.%I(%s) returns %s language c as %L, %L', substr(internal.proname, 2),
                       pg_get_function_arguments(internal.oid), pg_get_function_result(internal.oid),
                       'MODULE_PATHNAME', 'with_rights_wrapper');
    end loop;
end
$$;
