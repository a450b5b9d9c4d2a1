-- $1 how many at most. Releases scheduled deliveries. Returns the subscriptions that have some due now, and when the
-- next one is to be released.
select r.subscription_ids, r.next_at
from herald_internal.release_scheduled($1) r
