-- $1 limit. Returns event types that were ever seen.
select t.type from herald._type t limit $1
