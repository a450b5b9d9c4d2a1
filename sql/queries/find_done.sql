-- $1 seqs. Returns the deliveries of these events that a worker already recorded: they have an attempt, are pending or
-- dead.
select a.event_seq, a.subscription_id from herald_internal.attempt a where a.event_seq = any ($1::bigint[])
union
select p.event_seq, p.subscription_id from herald.pending p where p.event_seq = any ($1::bigint[])
union
select d.event_seq, d.subscription_id from herald_internal.dead_letter d where d.event_seq = any ($1::bigint[])
