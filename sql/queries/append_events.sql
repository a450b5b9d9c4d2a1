-- Many events of one statement, in their order. $1 slot, $2 origin, $3 time, $4 source, $5 context, then a column each.
insert into herald.event (slot, origin, time, source, context, uid, id, type, subject, key, tenant, priority,
                          extensions, data, size)
select $1, $2, $3, $4, $5, e.uid, e.uid::text, e.type, e.subject, e.key, e.tenant, e.priority, e.extensions, e.data,
       coalesce(pg_catalog.octet_length(e.data::text), 0)
from rows from (
    pg_catalog.unnest($6::uuid[]), pg_catalog.unnest($7::text[]), pg_catalog.unnest($8::text[]),
    pg_catalog.unnest($9::text[]), pg_catalog.unnest($10::text[]), pg_catalog.unnest($11::text[]),
    pg_catalog.unnest($12::json[]), pg_catalog.unnest($13::json[])
) as e (uid, type, subject, key, tenant, priority, extensions, data)
