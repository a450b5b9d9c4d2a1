-- Returns events by their place in the log: $1 seqs, $2 to $33 the slots, repeated to make up the number (see
-- read_window.sql). Events whose slot was emptied meanwhile are in herald.held_event.
select
    v.slot, v.seq, v.xid, v.uid, v.id, v.source, v.type, v.subject, v.time, v.key, v.tenant, v.priority, v.dataschema,
    v.extensions, v.size, v.data, v.context, v.deliver_at
from herald.event v
where v.slot = any (
    array[$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
    $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33]::smallint[])
and v.seq = any ($1::bigint[])
union all
select
    h.slot, h.seq, h.xid, h.uid, h.id, h.source, h.type, h.subject, h.time, h.key, h.tenant, h.priority, h.dataschema,
    h.extensions, h.size, h.data, h.context, h.deliver_at
from herald.held_event h
where h.seq = any ($1::bigint[])
