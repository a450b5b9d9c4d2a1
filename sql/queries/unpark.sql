-- $1 subscription, $2 how many at most. Makes parked deliveries of a subscription without an order due; those locked
-- come later.
update herald.pending p
set next_attempt_at = pg_catalog.clock_timestamp(), order_key = null, order_at = null, blocks_since = null
from (
    select q.event_seq
    from herald.pending q
    where q.subscription_id = $1 and q.next_attempt_at = 'infinity' and q.deliver_at is null
    order by q.event_seq
    limit $2
    for update skip locked
) parked
where p.subscription_id = $1 and p.event_seq = parked.event_seq
returning p.event_seq
