-- Deletes pending deliveries that ended. $1 subscription ids, $2 seqs.
delete from herald.pending p
using rows from (pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])) as d (subscription_id, event_seq)
where p.subscription_id = d.subscription_id and p.event_seq = d.event_seq
