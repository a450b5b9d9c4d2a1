-- One slice of a window, in the order of the log.
-- $1 after this seq, $2 up to this seq, $3 from_snapshot, $4 to_snapshot, $5 origin, $6 the largest data to load,
-- $7 limit in events: what is cut off is read by the next slice. $8 to $39 the slots, repeated to make up the number:
-- the planner leaves out the others only where each is a parameter of its own.
select
    e.slot, e.seq, e.xid, e.uid, e.id, e.source, e.type, e.subject, e.time, e.key, e.tenant, e.priority, e.dataschema,
    e.extensions, e.size,
    case when e.size <= $6 then e.data end as data,
    e.context
from herald.event e
where e.slot = any (
    array[$8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
    $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39]::smallint[])
and e.seq > $1
and e.seq <= $2
and e.origin = $5
and pg_catalog.pg_visible_in_snapshot(e.xid, $4::pg_snapshot)
and not pg_catalog.pg_visible_in_snapshot(e.xid, $3::pg_snapshot)
order by e.seq
limit $7
