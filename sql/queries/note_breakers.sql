-- $1 subscriptions, each once, $2 since when their breakers are open in microseconds since 1970, null if they are
-- closed, $3 the last failures.
select herald_internal.note_breakers($1, $2, $3)
