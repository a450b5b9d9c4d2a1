-- One slice of a window, in the order of the log.
-- $1 after this seq, $2 up to this seq, $3 from_snapshot, $4 to_snapshot, $5 origin, $6 the largest data to load,
-- $7 limit in events, $8 limit in bytes: what is cut off is read by the next slice. $9 to $40 the slots, repeated to
-- make up the number: the planner leaves out the others only where each is a parameter of its own.
select
    e.slot, e.seq, e.xid::text as xid, e.uid::text as uid, coalesce(e.id, e.uid::text) as id, e.source, e.type,
    e.subject, e.time, e.key, e.tenant, e.priority, e.dataschema, e.extensions::text as extensions, e.size,
    case when e.size <= $6 then e.data::text end as data,
    e.found
from (
    select
        f.*,
        pg_catalog.count(*) over () as found,
        pg_catalog.sum(case when f.size <= $6 then f.size else 0 end) over (order by f.seq)
            - case when f.size <= $6 then f.size else 0 end as bytes_before
    from (
        select v.*
        from herald.event v
        where v.slot = any (
            array[$9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
            $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40]::smallint[])
        and v.seq > $1
        and v.seq <= $2
        and v.origin = $5
        and pg_catalog.pg_visible_in_snapshot(v.xid, $4::pg_snapshot)
        and not pg_catalog.pg_visible_in_snapshot(v.xid, $3::pg_snapshot)
        order by v.seq
        limit $7
    ) f
) e
where e.bytes_before < $8
order by e.seq
