-- $1 id. All that the capture trigger has to know of a watch.
select
    w.name,
    w.table_name::oid as watched,
    c.reltype as row_type,
    n.nspname::text as schema_name,
    c.relname::text as table_name,
    c.relowner as owner,
    w.type,
    herald._current_columns(w, w.include_columns) as include_columns,
    herald._current_columns(w, w.exclude_columns) as exclude_columns,
    herald._current_columns(w, w.on_change_of) as on_change_of,
    w.on_error = 'capture' as captures_faults,
    '/' || pg_catalog.current_database() as default_source,
    w.expressions,
    (
        select pg_catalog.array_agg(herald._expression_function(w.id, w.table_name, e.name)::oid order by e.position)
        from pg_catalog.unnest(w.expressions) with ordinality as e (name, position)
    ) as functions,
    (
        select pg_catalog.array_agg(a.attname::text order by k.position)
        from pg_catalog.pg_constraint p
        cross join pg_catalog.unnest(p.conkey) with ordinality as k (number, position)
        join pg_catalog.pg_attribute a on a.attrelid = p.conrelid and a.attnum = k.number
        where p.conrelid = w.table_name and p.contype = 'p'
    ) as key_columns
from herald.watch w
join pg_catalog.pg_class c on c.oid = w.table_name
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where w.id = $1
