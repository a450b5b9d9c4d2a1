-- $1 the subscription to continue after. Returns disabled or removed subscriptions with pending deliveries, and the
-- reason to bury these.
select s.id, case when s.removed_at is null then 'gone' else 'unsubscribed' end
from herald_internal.subscription s
where s.id > $1
and (s.removed_at is not null or s.state = 'disabled')
and exists (select from herald.pending p where p.subscription_id = s.id)
order by s.id
limit 16
