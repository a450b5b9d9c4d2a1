-- Updates pending deliveries that failed again, given as columns. A delivery discarded meanwhile stays away.
update herald.pending p
set next_attempt_at = n.next_attempt_at,
    attempts = n.attempts,
    step = n.step,
    last_attempt_at = n.last_attempt_at,
    duration_ms = n.duration_ms,
    status_code = n.status_code,
    error_class = n.error_class,
    spare_until = n.spare_until
from rows from (
    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::smallint[]), pg_catalog.unnest($3::bigint[]),
    pg_catalog.unnest($4::timestamptz[]), pg_catalog.unnest($5::timestamptz[]), pg_catalog.unnest($6::integer[]),
    pg_catalog.unnest($7::integer[]), pg_catalog.unnest($8::timestamptz[]), pg_catalog.unnest($9::real[]),
    pg_catalog.unnest($10::smallint[]), pg_catalog.unnest($11::text[]), pg_catalog.unnest($12::timestamptz[])
) as n (subscription_id, event_slot, event_seq, next_attempt_at, created_at, attempts, step, last_attempt_at,
        duration_ms, status_code, error_class, spare_until)
where p.subscription_id = n.subscription_id and p.event_seq = n.event_seq
