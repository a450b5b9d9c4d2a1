-- Writes how the worker fares, into the only row. $1 pid, $2 failing steps, $3 last error, $4 its time in microseconds
-- since 1970, $5 whether its settings are new, $6 event types never seen before. The hash of a setting is enough to see
-- whether it differs: the setting may hold a password.
with seen as (
    insert into herald_internal.type (type) select pg_catalog.unnest($6::text[]) on conflict do nothing
)
insert into herald_internal.worker as w (pid, failing, last_error, last_error_at, settings)
values ($1, $2, $3, timestamptz 'epoch' + $4 * interval '1 microsecond', (
    select pg_catalog.jsonb_object_agg(s.name, pg_catalog.md5(s.setting)) from pg_catalog.pg_settings s
    where $5 and s.name like 'herald.%' and s.context = 'superuser'))
on conflict (only_row) do update
set pid = excluded.pid, failing = excluded.failing, settings = coalesce(excluded.settings, w.settings),
    last_error = coalesce(excluded.last_error, w.last_error),
    last_error_at = coalesce(excluded.last_error_at, w.last_error_at)
