-- $1 subscription, $2 and $3 how far its backlog was walked, $4 how many to bury at most.
select s.passed, s.last_seq, s.buried, s.is_over
from herald_internal.shed_backlog($1, $2, $3, $4) s
