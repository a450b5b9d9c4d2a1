-- The same as claim_due.sql, for an ordered lane. $5 the highest place to claim: others may follow events that are not
-- read yet. Returns also the place among deliveries that follow each other, and whether it follows another one.
select p.event_slot, p.event_seq, p.next_attempt_at, p.attempts, p.step, p.created_at, p.order_key, p.order_at,
       p.blocks_since,
       p.order_key is not null and p.next_attempt_at < 'infinity' and exists (
           select from herald.pending q
           where q.subscription_id = p.subscription_id and q.order_key = p.order_key
           and (q.order_at, q.event_seq) < (p.order_at, p.event_seq)) as is_behind
from herald.pending p
where p.subscription_id = $1
and p.deliver_at is null
and (p.next_attempt_at, p.event_seq) > ($3, $4)
and (p.order_key is null or p.order_at <= $5)
order by p.next_attempt_at, p.event_seq
limit $2
