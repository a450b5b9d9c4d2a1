-- $1 the library's version. Returns why the worker must not work, or null.
select
    case
        when x.extversion <> $1
            then pg_catalog.format('the extension is %s and the library is %s: run alter extension pg_herald update, '
                                   'or restart the server with the library of the extension', x.extversion, $1)
        else herald_internal.hold_reason()
    end as reason
from pg_catalog.pg_extension x
where x.extname = 'pg_herald'
