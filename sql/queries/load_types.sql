-- $1 id. Returns only the types, of a subscription that cannot be read entirely.
select s.types
from herald_internal.subscription s
where s.id = $1
