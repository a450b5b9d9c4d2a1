-- $1 the snapshot of the loaded configuration. Looks at the log: what is visible now, and whether the configuration
-- changed. The sequence is read after the snapshot is taken, so no visible event has a higher number.
select
    pg_catalog.pg_current_snapshot()::text as snapshot,
    case when s.is_called then s.last_value else 0 end as upper_seq,
    exists (
        select from herald_internal.config_change c
        where not pg_catalog.pg_visible_in_snapshot(c.xid, $1::pg_snapshot)
    ) as has_changes
from herald_internal.event_seq s
