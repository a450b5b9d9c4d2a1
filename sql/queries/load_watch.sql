-- $1 id. Returns what most watches have, and whether there is more (see load_watch_details.sql).
select
    w.name,
    w.table_name::oid as watched,
    w.type,
    w.on_error = 'capture' as captures_faults,
    w.expressions <> '{}'
        or pg_catalog.num_nonnulls(w.include_columns, w.exclude_columns, w.on_change_of) > 0 as has_details
from herald_internal.watch w
where w.id = $1
