-- Notes deliveries that died and hold what comes after them, given as columns: $1 subscription ids, $2 keys of their
-- order, $3 places in it, $4 seqs, $5 slots, $6 attempts, $7 the events' keys, $8 sources and $9 ids.
insert into herald_internal.blocking_letter (
    subscription_id, order_key, order_at, event_seq, event_slot, attempts, key, source, event_id)
select d.subscription_id, d.order_key, d.order_at, d.event_seq, d.event_slot, d.attempts, d.key, d.source, d.event_id
from rows from (
    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]), pg_catalog.unnest($3::bigint[]),
    pg_catalog.unnest($4::bigint[]), pg_catalog.unnest($5::smallint[]), pg_catalog.unnest($6::integer[]),
    pg_catalog.unnest($7::text[]), pg_catalog.unnest($8::text[]), pg_catalog.unnest($9::text[])
) as d (subscription_id, order_key, order_at, event_seq, event_slot, attempts, key, source, event_id)
-- Unless the option was taken away meanwhile.
join herald_internal.subscription s
    on s.id = d.subscription_id and s.removed_at is null and s.options -> 'dead_blocks' = 'true'
on conflict do nothing
