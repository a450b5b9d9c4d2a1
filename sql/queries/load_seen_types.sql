-- $1 most. The event types that were ever seen.
select t.type from herald._type t limit $1
