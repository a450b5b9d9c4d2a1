-- $1 the snapshot of the loaded configuration, $2 limit. Returns what changed since then; a null id stands for all.
select distinct c.kind, c.subscription_id
from herald_internal.config_change c
where not pg_catalog.pg_visible_in_snapshot(c.xid, $1::pg_snapshot)
limit $2
