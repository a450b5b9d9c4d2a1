-- The attempts of one batch. $1 slot, then a column each.
insert into herald._attempt (slot, event_slot, event_seq, subscription_id, at, attempt, duration_ms, status_code,
                             outcome, error_class, error, response)
select $1, a.event_slot, a.event_seq, a.subscription_id, a.at, a.attempt, a.duration_ms, a.status_code,
       a.outcome, a.error_class, a.error, a.response
from rows from (
    pg_catalog.unnest($2::smallint[]), pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::bigint[]),
    pg_catalog.unnest($5::timestamptz[]), pg_catalog.unnest($6::integer[]), pg_catalog.unnest($7::real[]),
    pg_catalog.unnest($8::smallint[]), pg_catalog.unnest($9::text[]), pg_catalog.unnest($10::text[]),
    pg_catalog.unnest($11::text[]), pg_catalog.unnest($12::text[])
) as a (event_slot, event_seq, subscription_id, at, attempt, duration_ms, status_code, outcome, error_class, error, response)
