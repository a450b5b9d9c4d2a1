-- $1 subscription ids, $2 seqs. The places, from 1 on, of the deliveries whose row another session has locked. The rows
-- of the others are locked now, until this transaction ends.
with wanted as materialized (
    select d.subscription_id, d.event_seq, d.place
    from rows from (pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]))
        with ordinality as d (subscription_id, event_seq, place)
), free_pending as materialized (
    select p.subscription_id, p.event_seq
    from wanted w
    join herald.pending p on p.subscription_id = w.subscription_id and p.event_seq = w.event_seq
    for update of p skip locked
), free_dead as materialized (
    select l.subscription_id, l.event_seq
    from wanted w
    join herald._dead_letter l on l.subscription_id = w.subscription_id and l.event_seq = w.event_seq
    for update of l skip locked
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
    select from herald._dead_letter l
    where l.subscription_id = w.subscription_id and l.event_seq = w.event_seq)
and not exists (
    select from free_dead f
    where f.subscription_id = w.subscription_id and f.event_seq = w.event_seq)
