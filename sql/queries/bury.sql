-- Buries deliveries, given as columns: $1 subscription ids, $2 slots, $3 seqs, $4 reasons, $5 attempts, $6 created_at.
select herald_internal.bury($1, $2, $3, $4, $5, $6)
