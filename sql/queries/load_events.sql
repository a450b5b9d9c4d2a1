-- Events by their place in the log: $1 seqs, $2 the largest data to load, $3 to $34 the slots, repeated to make up the
-- number (see read_window.sql). Events whose slot was emptied meanwhile are in herald.held_event.
select
    e.slot, e.seq, e.xid, e.uid, e.id, e.source, e.type, e.subject, e.time, e.key, e.tenant, e.priority, e.dataschema,
    e.extensions, e.size,
    case when e.size <= $2 then e.data end as data,
    e.context
from (
    select v.*
    from herald.event v
    where v.slot = any (
        array[$3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
        $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34]::smallint[])
    and v.seq = any ($1::bigint[])
    union all
    select h.*
    from herald.held_event h
    where h.seq = any ($1::bigint[])
) e
