-- Updates pending deliveries that failed again, or that are parked without an attempt, given as columns. A delivery
-- discarded meanwhile stays away.
update herald.pending p
set next_attempt_at = n.next_attempt_at,
    attempts = n.attempts,
    step = n.step,
    last_attempt_at = coalesce(n.last_attempt_at, p.last_attempt_at),
    duration_ms = case when n.last_attempt_at is null then p.duration_ms else n.duration_ms end,
    status_code = case when n.last_attempt_at is null then p.status_code else n.status_code end,
    error_class = case when n.last_attempt_at is null then p.error_class else n.error_class end,
    spare_until = case when n.last_attempt_at is null then p.spare_until else n.spare_until end,
    blocks_since = n.blocks_since
from rows from (
    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::smallint[]), pg_catalog.unnest($3::bigint[]),
    pg_catalog.unnest($4::timestamptz[]), pg_catalog.unnest($5::timestamptz[]), pg_catalog.unnest($6::integer[]),
    pg_catalog.unnest($7::integer[]), pg_catalog.unnest($8::timestamptz[]), pg_catalog.unnest($9::real[]),
    pg_catalog.unnest($10::smallint[]), pg_catalog.unnest($11::text[]), pg_catalog.unnest($12::timestamptz[]),
    pg_catalog.unnest($13::bigint[]), pg_catalog.unnest($14::bigint[]), pg_catalog.unnest($15::timestamptz[]),
    pg_catalog.unnest($16::timestamptz[])
) as n (subscription_id, event_slot, event_seq, next_attempt_at, created_at, attempts, step, last_attempt_at,
        duration_ms, status_code, error_class, spare_until, order_key, order_at, blocks_since, deliver_at)
where p.subscription_id = n.subscription_id and p.event_seq = n.event_seq
