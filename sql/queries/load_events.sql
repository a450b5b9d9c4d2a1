-- Events by their place in the log: $1 slots, $2 seqs, $3 the largest data to load, $4 limit in bytes: data beyond it
-- is not loaded, and the last column says so. Events whose slot was emptied meanwhile are in herald.held_event.
select
    e.slot, e.seq, e.xid::text as xid, e.uid::text as uid, coalesce(e.id, e.uid::text) as id, e.source, e.type,
    e.subject, e.time, e.key, e.tenant, e.priority, e.dataschema, e.extensions::text as extensions, e.size,
    case when e.size <= $3 and e.bytes_before < $4 then e.data::text end as data,
    (e.bytes_before < $4)::integer::bigint as is_loaded
from (
    select
        f.*,
        pg_catalog.sum(case when f.size <= $3 then f.size else 0 end) over (order by f.seq)
            - case when f.size <= $3 then f.size else 0 end as bytes_before
    from (
        select v.*
        from herald.event v
        where v.slot = any ($1::smallint[]) and v.seq = any ($2::bigint[])
        union all
        select h.*
        from herald.held_event h
        where h.seq = any ($2::bigint[])
    ) f
) e
