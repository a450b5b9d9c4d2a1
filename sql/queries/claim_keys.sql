-- $1 subscription, $2 keys, $3 how many of each at most, $4 the highest place (see claim_ordered.sql). Returns the
-- first pending deliveries of each key, in order, but none behind a dead letter that holds its key.
select p.event_slot, p.event_seq, p.next_attempt_at, p.attempts, p.step, p.created_at, p.order_key, p.order_at,
       p.blocks_since, false as is_behind
from pg_catalog.unnest($2::bigint[]) as k (order_key)
left join lateral (
    select b.order_at, b.event_seq
    from herald_internal.blocking_letter b
    where b.subscription_id = $1 and b.order_key = k.order_key
    order by b.order_at, b.event_seq
    limit 1
) l on true
cross join lateral (
    select q.*
    from herald.pending q
    where q.subscription_id = $1 and q.order_key = k.order_key and q.order_at <= $4
    and (q.order_at, q.event_seq)
        < (coalesce(l.order_at, 9223372036854775807), coalesce(l.event_seq, 9223372036854775807))
    order by q.order_at, q.event_seq
    limit $3
) p
