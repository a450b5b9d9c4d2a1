-- $1 the subscription after which to look on. Subscriptions that are disabled or removed and have pending deliveries, and the
-- reason for which these are buried.
select s.id, case when s.removed_at is null then 'gone' else 'unsubscribed' end
from herald._subscription s
where s.id > $1
and (s.removed_at is not null or s.state = 'disabled')
and exists (select from herald.pending p where p.subscription_id = s.id)
order by s.id
limit 16
