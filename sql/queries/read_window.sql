-- One slice of a window, in the order of the log.
-- $1 slots, $2 after this seq, $3 up to this seq, $4 from_snapshot, $5 to_snapshot, $6 origin, $7 the largest
-- data to load, $8 limit in events, $9 limit in bytes: what is cut off is read by the next slice.
select
    e.slot, e.seq, e.xid::text as xid, e.uid::text as uid, coalesce(e.id, e.uid::text) as id, e.source, e.type,
    e.subject, e.time, e.key, e.tenant, e.priority, e.dataschema, e.extensions::text as extensions, e.size,
    case when e.size <= $7 then e.data::text end as data,
    e.found
from (
    select
        f.*,
        pg_catalog.count(*) over () as found,
        pg_catalog.sum(case when f.size <= $7 then f.size else 0 end) over (order by f.seq)
            - case when f.size <= $7 then f.size else 0 end as bytes_before
    from (
        select v.*
        from herald.event v
        where v.slot = any ($1::smallint[])
        and v.seq > $2
        and v.seq <= $3
        and v.origin = $6
        and pg_catalog.pg_visible_in_snapshot(v.xid, $5::pg_snapshot)
        and not pg_catalog.pg_visible_in_snapshot(v.xid, $4::pg_snapshot)
        order by v.seq
        limit $8
    ) f
) e
where e.bytes_before < $9
order by e.seq
