-- $1 subscription, $2 limit, $3 and $4 due time and seq to continue after. Returns its pending deliveries in due order.
-- The only worker remembers what it took: nothing is locked or written.
select p.event_slot, p.event_seq, p.next_attempt_at, p.attempts, p.step, p.created_at
from herald.pending p
where p.subscription_id = $1
and p.deliver_at is null
and (p.next_attempt_at, p.event_seq) > ($3, $4)
order by p.next_attempt_at, p.event_seq
limit $2
