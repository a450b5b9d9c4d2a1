-- $1 subscription ids, $2 seqs, $3 the tenants whose accounts they are for, or null. Returns the places, from 1 on, of
-- the deliveries with a row that another session has locked. Locks the rows of the others until this transaction ends.
with wanted as materialized (
    select d.subscription_id, d.event_seq, d.tenant, d.place
    from rows from (pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]), pg_catalog.unnest($3::text[]))
        with ordinality as d (subscription_id, event_seq, tenant, place)
), free_pending as materialized (
    select p.subscription_id, p.event_seq
    from wanted w
    join herald.pending p on p.subscription_id = w.subscription_id and p.event_seq = w.event_seq
    for update of p skip locked
), free_dead as materialized (
    select l.subscription_id, l.event_seq
    from wanted w
    join herald_internal.dead_letter l on l.subscription_id = w.subscription_id and l.event_seq = w.event_seq
    for update of l skip locked
), account as materialized (
    select u.tenant, u.month
    from herald_internal.usage u
    where u.tenant = any ($3)
    and u.month = pg_catalog.date_trunc('month', pg_catalog.clock_timestamp() at time zone 'UTC')::date
), free_account as materialized (
    select a.tenant
    from account a
    join herald_internal.usage u on u.tenant = a.tenant and u.month = a.month
    for update of u skip locked
)
select w.place
from wanted w
where exists (
    select from herald.pending p
    where p.subscription_id = w.subscription_id and p.event_seq = w.event_seq)
and not exists (
    select from free_pending f
    where f.subscription_id = w.subscription_id and f.event_seq = w.event_seq)
or exists (
    select from herald_internal.dead_letter l
    where l.subscription_id = w.subscription_id and l.event_seq = w.event_seq)
and not exists (
    select from free_dead f
    where f.subscription_id = w.subscription_id and f.event_seq = w.event_seq)
or w.tenant in (select a.tenant from account a)
and w.tenant not in (select f.tenant from free_account f)
