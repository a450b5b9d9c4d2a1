-- $1 the snapshot of the loaded configuration, $2 how many at most. What changed since then; an id that is null stands for all.
select distinct c.kind, c.subscription_id
from herald.config_change c
where not pg_catalog.pg_visible_in_snapshot(c.xid, $1::pg_snapshot)
limit $2
