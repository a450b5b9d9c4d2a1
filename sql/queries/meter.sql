-- Adds to the accounts of tenants, given as columns: $1 tenants, $2 events, $3 attempts, $4 delivered, $5 dead.
select herald_internal.meter($1, $2, $3, $4, $5)
