-- $1 how many, $2 the largest data in bytes. Returns the newest events, without what is long.
select n.slot, n.seq, n.type, n.tenant
from (
    select e.slot, e.seq, e.type, e.tenant, e.size
    from herald.event e
    order by e.seq desc
    limit $1
) n
where n.size <= $2
