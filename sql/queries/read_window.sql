-- Reads one slice of a window, in the order of the log.
-- $1 after this seq, $2 up to this seq, $3 from_snapshot, $4 to_snapshot, $5 origin, $6 limit in events: the next slice
-- reads the rest. $7 to $38 the slots, repeated to make up the number: the planner leaves out the others only if each
-- is a parameter. Texts are plain columns, so that long ones are not fetched here.
select
    e.slot, e.seq, e.xid, e.uid, e.id, e.source, e.type, e.subject, e.time, e.key, e.tenant, e.priority, e.dataschema,
    e.extensions, e.size,
    e.data,
    e.context, e.deliver_at
from herald.event e
where e.slot = any (
    array[$7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
    $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38]::smallint[])
and e.seq > $1
and e.seq <= $2
and e.origin = $5
and pg_catalog.pg_visible_in_snapshot(e.xid, $4::pg_snapshot)
and not pg_catalog.pg_visible_in_snapshot(e.xid, $3::pg_snapshot)
order by e.seq
limit $6
