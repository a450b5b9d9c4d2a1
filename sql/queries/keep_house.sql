-- Keeps house for about 2 ms. $1 the held event after which to look for some to release, $2 the first part of the
-- round.
select h.period_micros, h.has_more, h.released_to, h.next_part
from herald_internal.keep_house($1, $2, interval '2 ms') h
