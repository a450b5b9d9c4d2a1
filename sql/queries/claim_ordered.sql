-- The same as claim_due.sql, for an ordered lane. $5 the highest place to claim: others may follow events that are
-- not read yet. Returns also the place among deliveries that follow each other, and whether it follows another one. Of
-- those that are parked, returns one.
select p.event_slot, p.event_seq, p.next_attempt_at, p.attempts, p.step, p.created_at, p.order_key, p.order_at,
       p.blocks_since,
       p.order_key is not null and p.next_attempt_at < 'infinity' and (
           exists (
               select from herald.pending q
               where q.subscription_id = p.subscription_id and q.order_key = p.order_key
               and (q.order_at, q.event_seq) < (p.order_at, p.event_seq))
           or exists (
               select from herald_internal.blocking_letter l
               where l.subscription_id = p.subscription_id and l.order_key = p.order_key
               and (l.order_at, l.event_seq) < (p.order_at, p.event_seq))) as is_behind
from (
    (
        select d.*
        from herald.pending d
        where d.subscription_id = $1
        and d.deliver_at is null
        and (d.next_attempt_at, d.event_seq) > ($3, $4)
        and d.next_attempt_at < 'infinity'
        and (d.order_key is null or d.order_at <= $5)
        order by d.next_attempt_at, d.event_seq
        limit $2
    )
    union all
    (
        select d.*
        from herald.pending d
        where d.subscription_id = $1
        and d.deliver_at is null
        and d.next_attempt_at = 'infinity'
        limit 1
    )
) p
order by p.next_attempt_at, p.event_seq
limit $2
