-- Inserts deliveries of a window that continue later: spilled ones (no attempts, due now) and failed ones, given as
-- columns.
insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at, created_at, attempts, step,
                            last_attempt_at, duration_ms, status_code, error_class, spare_until, order_key, order_at,
                            blocks_since, deliver_at)
select p.subscription_id, p.event_slot, p.event_seq,
       p.next_attempt_at, p.created_at, p.attempts, p.step, p.last_attempt_at, p.duration_ms, p.status_code,
       p.error_class, p.spare_until, p.order_key, p.order_at, p.blocks_since, p.deliver_at
from rows from (
    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::smallint[]), pg_catalog.unnest($3::bigint[]),
    pg_catalog.unnest($4::timestamptz[]), pg_catalog.unnest($5::timestamptz[]), pg_catalog.unnest($6::integer[]),
    pg_catalog.unnest($7::integer[]), pg_catalog.unnest($8::timestamptz[]), pg_catalog.unnest($9::real[]),
    pg_catalog.unnest($10::smallint[]), pg_catalog.unnest($11::text[]), pg_catalog.unnest($12::timestamptz[]),
    pg_catalog.unnest($13::bigint[]), pg_catalog.unnest($14::bigint[]), pg_catalog.unnest($15::timestamptz[]),
    pg_catalog.unnest($16::timestamptz[])
) as p (subscription_id, event_slot, event_seq, next_attempt_at, created_at, attempts, step, last_attempt_at,
        duration_ms, status_code, error_class, spare_until, order_key, order_at, blocks_since, deliver_at)
on conflict (subscription_id, event_seq) do update
    set next_attempt_at = excluded.next_attempt_at,
        attempts = excluded.attempts,
        step = excluded.step,
        last_attempt_at = excluded.last_attempt_at,
        duration_ms = excluded.duration_ms,
        status_code = excluded.status_code,
        error_class = excluded.error_class,
        spare_until = excluded.spare_until,
        blocks_since = excluded.blocks_since,
        deliver_at = excluded.deliver_at
