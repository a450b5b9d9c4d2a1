-- Deliveries that are given up, a column each: $1 subscription ids, $2 slots, $3 seqs, $4 reasons, $5 attempts,
-- $6 created_at. $7 whether with their events.
select herald._bury(d.subscription_id, d.event_slot, d.event_seq, d.reason, d.attempts, d.created_at, null, $7)
from rows from (
    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::smallint[]), pg_catalog.unnest($3::bigint[]),
    pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::integer[]), pg_catalog.unnest($6::timestamptz[])
) as d (subscription_id, event_slot, event_seq, reason, attempts, created_at)
