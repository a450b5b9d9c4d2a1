-- What deliveries of tenants came to, a column each: $1 tenants, $2 events, $3 attempts, $4 delivered, $5 dead.
select herald._meter($1, $2, $3, $4, $5)
