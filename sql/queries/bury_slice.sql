-- $1 subscription, $2 reason, $3 how many at most. Buries pending deliveries of a subscription, if it is still disabled or
-- removed. Locked ones are left. Returns how many were buried.
select herald._bury_slice($1, $2, $3)
from herald._subscription s
where s.id = $1 and (s.removed_at is not null or s.state = 'disabled')
