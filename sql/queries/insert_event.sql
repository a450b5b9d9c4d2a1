-- Inserts one event through the executor: used if somebody added an index, a trigger or a constraint to the log. The
-- columns and parameters are those of KNOWN in append.rs, in its order.
insert into herald.event (
    seq, xid, origin, time, deliver_at, uid, size, slot, source, type, id, subject, key, tenant, priority, dataschema,
    extensions, context, data)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
