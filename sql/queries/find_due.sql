-- $1 subscription ids. Returns when the first pending delivery of each is due, with one index look-up for each.
select s.id, p.next_attempt_at
from pg_catalog.unnest($1::bigint[]) as s (id)
cross join lateral (
    select p.next_attempt_at
    from herald.pending p
    where p.subscription_id = s.id and p.deliver_at is null
    order by p.next_attempt_at, p.event_seq
    limit 1
) p
