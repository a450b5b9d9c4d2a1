-- $1 subscription, $2 the first key of the walk, $3 how many keys to pass at most. Returns the keys that were passed,
-- and whether their first row is parked and held by no dead letter: an index look-up or two for each. The last row,
-- without a key, says whether dead letters hold keys.
with recursive walk as (
    (
        select p.order_key, p.next_attempt_at, p.order_at, p.event_seq, 1 as passed
        from herald.pending p
        where p.subscription_id = $1 and p.order_key >= $2
        order by p.order_key, p.order_at, p.event_seq
        limit 1
    )
    union all
    select p.order_key, p.next_attempt_at, p.order_at, p.event_seq, w.passed + 1
    from walk w
    cross join lateral (
        select q.order_key, q.next_attempt_at, q.order_at, q.event_seq
        from herald.pending q
        where q.subscription_id = $1 and q.order_key > w.order_key
        order by q.order_key, q.order_at, q.event_seq
        limit 1
    ) p
    where w.passed < $3
)
select w.order_key,
       w.next_attempt_at = 'infinity' and not exists (
           select from herald_internal.blocking_letter b
           where b.subscription_id = $1 and b.order_key = w.order_key
           and (b.order_at, b.event_seq) < (w.order_at, w.event_seq)) as is_parked
from walk w
union all
select null, exists (select from herald_internal.blocking_letter b where b.subscription_id = $1)
