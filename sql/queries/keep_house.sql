-- $1 the held event after which to look for some to release, $2 the part of the round to begin with. For about 2 ms.
select h.period_micros, h.has_more, h.released_to, h.next_part
from herald._keep_house($1, $2, interval '2 ms') h
