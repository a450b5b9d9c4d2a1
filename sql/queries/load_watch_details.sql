-- $1 id. The columns that a watch names, by the names that they have now, and its expressions with their functions.
select
    herald._current_columns(w, w.include_columns) as include_columns,
    herald._current_columns(w, w.exclude_columns) as exclude_columns,
    herald._current_columns(w, w.on_change_of) as on_change_of,
    w.expressions,
    (
        select pg_catalog.array_agg(herald._expression_function(w.id, w.table_name, e.name)::oid order by e.position)
        from pg_catalog.unnest(w.expressions) with ordinality as e (name, position)
    ) as functions
from herald.watch w
where w.id = $1
