-- $1 origin. Returns the windows opened here, oldest first.
select
    w.number, w.timeline, w.from_snapshot::text as from_snapshot, w.to_snapshot::text as to_snapshot,
    w.floor_seq, w.upper_seq, w.next_seq, w.next_floor_seq,
    exists (
        select from herald_internal.window c
        where c.slot = w.slot and c.number = w.number and c.origin = w.origin and c.state = 'closed'
    ) as is_closed
from herald_internal.window w
where w.origin = $1 and w.state = 'open'
order by w.number
