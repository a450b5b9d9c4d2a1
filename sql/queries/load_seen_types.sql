-- $1 limit. Returns event types that were ever seen.
select t.type from herald_internal.type t limit $1
