-- Subscriptions that are disabled or removed and have pending deliveries, and the reason for which these are buried.
select s.id, case when s.removed_at is null then 'gone' else 'unsubscribed' end
from herald._subscription s
where (s.removed_at is not null or s.state = 'disabled')
and exists (select from herald.pending p where p.subscription_id = s.id)
limit 16
