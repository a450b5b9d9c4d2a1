-- $1 id. The types alone, of a subscription of which not everything can be read.
select s.types
from herald._subscription s
where s.id = $1
