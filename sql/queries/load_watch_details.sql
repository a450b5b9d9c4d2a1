-- $1 id. Returns the current names of the columns that a watch lists, and its expressions with their functions: these
-- run as the table's owner, so none is called that belongs to another role.
select
    herald_internal.current_columns(w, w.include_columns) as include_columns,
    herald_internal.current_columns(w, w.exclude_columns) as exclude_columns,
    herald_internal.current_columns(w, w.on_change_of) as on_change_of,
    w.expressions,
    (
        select pg_catalog.array_agg(p.oid order by e.position)
        from pg_catalog.unnest(w.expressions) with ordinality as e (name, position)
        left join pg_catalog.pg_proc p
            on p.oid = herald_internal.expression_function(w, e.name)
            and p.proowner = (select c.relowner from pg_catalog.pg_class c where c.oid = w.table_name)
    ) as functions
from herald_internal.watch w
where w.id = $1
