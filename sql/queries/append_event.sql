-- One event. $1 slot, $2 origin, $3 time, then its attributes.
insert into herald.event (slot, origin, time, uid, id, source, type, subject, key, tenant, priority,
                          dataschema, extensions, context, data, size)
values ($1, $2, $3, $4, coalesce($5, $4::text), $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, coalesce(pg_catalog.octet_length($15::text), 0))
returning seq
