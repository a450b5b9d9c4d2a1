-- $1 subscription, $2 reason, $3 the number to continue after, $4 how many at most. Buries pending deliveries of a
-- subscription, if it is still disabled or removed, and skips locked ones. Returns how many were buried, and the last
-- number.
select b.buried, b.last_seq
from herald_internal.subscription s
cross join lateral herald_internal.bury_slice($1, $2, $3, $4) b
where s.id = $1 and (s.removed_at is not null or s.state = 'disabled')
