-- $1 subscription, $2 since when its breaker is open in microseconds since 1970, null if it is closed, $3 the last
-- failure.
select herald_internal.note_breaker($1, $2, $3)
