-- The period of the ring of events, in microseconds.
select (extract(epoch from r.period) * 1000000)::bigint
from herald.ring r
where r.name = 'event'
