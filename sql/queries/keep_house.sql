-- $1 the held event after which to look for some to release.
select h.period_micros, h.has_more, h.released_to from herald._keep_house($1) h
