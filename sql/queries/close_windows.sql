-- $1 numbers, $2 slots, $3 origin.
insert into herald_internal.window (number, origin, slot, state)
select w.number, $3, w.slot, 'closed'
from rows from (pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::smallint[])) as w (number, slot)
