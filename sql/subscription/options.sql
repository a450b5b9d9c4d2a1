-- The options of a subscription. crates/core/src/subscription/options.rs declares each once; what SQL needs is made
-- from that here, when the extension is created.

-- Returns the arguments of subscribe(), in order: "is_option" marks those that are stored, "has_secrets" objects with
-- members that are not shown.
create function herald_internal.declared_options()
    returns table ("position" integer, name text, type text, is_option boolean, has_secrets boolean, about text)
    language c immutable
    as 'MODULE_PATHNAME', 'declared_options_wrapper';

-- Returns every option with its declared default, null if it has none, as JSON.
create function herald_internal.declared_defaults() returns text
    language c immutable
    as 'MODULE_PATHNAME', 'declared_defaults_wrapper';

-- Merges the given options into a document; null removes an option. Raises an error for an unknown option, and for null
-- where every subscription has a value.
create function herald_internal.merge_options(former text, given text) returns text
    language c immutable strict
    as 'MODULE_PATHNAME', 'merge_options_wrapper';

-- Returns what can be read of a stored document, so that one row cannot hide the others.
create function herald_internal.readable_options(stored text) returns text
    language c immutable strict
    as 'MODULE_PATHNAME', 'readable_options_wrapper';

-- Raises an error unless a subscription with these options is valid under this session's settings.
create function herald_internal.check_subscription(name text, is_tenants boolean, options text, secret text)
    returns void
    language c
    as 'MODULE_PATHNAME', 'check_subscription_wrapper';

-- Whether a member of an option is never shown.
create function herald_internal.is_secret_member(option text, member text) returns boolean
    language c immutable strict
    as 'MODULE_PATHNAME', 'is_secret_member_wrapper';

-- All options as one row, for their types.
do $$
begin
    execute (
        select format('create type herald_internal.options as (%s)',
                      string_agg(format('%I %s', o.name, o.type), ', ' order by o.position))
        from herald_internal.declared_options() o
        where o.is_option);
end
$$;

-- Returns the declared defaults as SQL writes values of their types.
create function herald_internal.default_options() returns jsonb
    language sql stable
    set search_path = pg_catalog, pg_temp
    set intervalstyle = postgres
    return to_jsonb(json_populate_record(null::herald_internal.options, herald_internal.declared_defaults()::json));

-- Returns the given options: null means not given.
create function herald_internal.given(options jsonb) returns jsonb
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return (select coalesce(jsonb_object_agg(o.key, o.value), '{}') from jsonb_each(options) o where o.value <> 'null');

-- Returns a subscription's document: its options, including those that are columns. An option that is not stored, as an
-- older version did not know it, has its default.
create function herald_internal.options_of(entry herald_internal.subscription) returns jsonb
    language sql stable
    set search_path = pg_catalog, pg_temp
    set intervalstyle = postgres
    return herald_internal.given(
        herald_internal.default_options()
        || case when jsonb_typeof(entry.options) = 'object' then entry.options else '{}' end
        || jsonb_build_object(
        'url', entry.url, 'types', entry.types, 'tenant', entry.tenant, 'max_backlog', entry.max_backlog,
        'dead_letter_retention', entry.dead_letter_retention));

-- Returns the options of a document that are columns.
create function herald_internal.column_options() returns text[]
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return '{url,types,tenant,max_backlog,dead_letter_retention}'::text[];

-- Returns a document as it is stored and shown: with *** for secrets.
create function herald_internal.masked_options(options jsonb) returns jsonb
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return (
        select coalesce(jsonb_object_agg(o.key, case
            when d.has_secrets then (
                select jsonb_object_agg(
                    m.key, case when herald_internal.is_secret_member(o.key, m.key) then '"***"' else m.value end)
                from jsonb_each(o.value) m)
            else o.value end), '{}')
        from jsonb_each(options) o
        join herald_internal.declared_options() d on d.name = o.key);

-- Returns a row with its document spread over its members, for the audit and dead letters.
create function herald_internal.with_options_spread(entry jsonb) returns jsonb
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return (entry - 'options')
        || case when jsonb_typeof(entry -> 'options') = 'object' then entry -> 'options' else '{}' end;

-- Returns the given values of options, as SQL writes values of their types. Statuses may be classes.
create function herald_internal.typed_options(given jsonb) returns jsonb
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    set intervalstyle = postgres
as $$
declare
    option record;
    typed jsonb := '{}';
begin
    for option in
        select g.key,
               d.type,
               case when d.type = 'integer[]' and jsonb_typeof(g.value) not in ('array', 'null')
                   then jsonb_build_array(g.value)
                   else g.value end as value
        from jsonb_each(given) g
        left join herald_internal.declared_options() d on d.name = g.key and d.is_option
    loop
        begin
            typed := typed || jsonb_build_object(option.key, case
                when option.value = 'null' or option.type is null then option.value
                -- Statuses.
                when option.type = 'integer[]'
                    then to_jsonb(herald.statuses(variadic array(
                        select v.s from jsonb_array_elements_text(option.value) v (s))))
                else to_jsonb(jsonb_populate_record(
                    null::herald_internal.options, jsonb_build_object(option.key, option.value))) -> option.key
                end);
        exception when data_exception or syntax_error_or_access_rule_violation or program_limit_exceeded then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('invalid %s: %s', option.key, left(sqlerrm, 200)),
                detail = format('It is %s.', left(option.value::text, 200)),
                hint = format('Write %s as subscribe() takes it.', option.key);
        end;
    end loop;
    return typed;
end
$$;
