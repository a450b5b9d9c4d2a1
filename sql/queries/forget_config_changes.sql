-- $1 the snapshot of the loaded configuration. Deletes the changes that it shows, which are loaded.
delete from herald_internal.config_change c where pg_catalog.pg_visible_in_snapshot(c.xid, $1::pg_snapshot)
