-- $1 ids. Returns what decides which events these subscriptions get.
select s.id, s.types, s.tenant, herald_internal.selecting(s.options)::text as options
from pg_catalog.unnest($1::bigint[]) as wanted (id)
join herald_internal.subscription s on s.id = wanted.id
