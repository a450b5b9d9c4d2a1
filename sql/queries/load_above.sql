-- $1 a table. Returns the tables of which it is a partition or a child, on all levels.
select pg_catalog.array_agg(a.relid) as above
from herald_internal.above($1::pg_catalog.regclass) a (relid)
