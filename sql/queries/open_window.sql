-- $1 number, $2 origin, $3 slot, $4 timeline, $5 from, $6 to, $7 floor, $8 upper, $9 next, $10 next floor.
insert into herald_internal.window (
    number, origin, slot, state, timeline, from_snapshot, to_snapshot, floor_seq, upper_seq, next_seq, next_floor_seq)
values ($1, $2, $3, 'open', $4, $5::pg_snapshot, $6::pg_snapshot, $7, $8, $9, $10)
