-- Reads what matching needs of one event whose row cannot be read as a whole.
-- $1 its seq, $2 from_snapshot, $3 to_snapshot, $4 origin.
select e.slot, e.seq, e.xid, e.uid, e.type, e.time, e.tenant
from herald.event e
where e.seq = $1
and e.origin = $4
and pg_catalog.pg_visible_in_snapshot(e.xid, $3::pg_snapshot)
and not pg_catalog.pg_visible_in_snapshot(e.xid, $2::pg_snapshot)
