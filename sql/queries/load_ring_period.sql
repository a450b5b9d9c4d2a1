-- Returns the period of the ring of events, and when it was changed, in microseconds.
select (extract(epoch from r.period) * 1000000)::bigint, (extract(epoch from r.changed_at) * 1000000)::bigint
from herald_internal.ring r
where r.name = 'event'
