-- $1 subscriptions, each once, $2 and $3 for how many seconds more their receivers were up and down.
insert into herald_internal.uptime as u (subscription_id, hour, up_seconds, down_seconds)
select s.id, pg_catalog.date_trunc('hour', pg_catalog.clock_timestamp()), t.up, t.down
from rows from (
    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::double precision[]),
    pg_catalog.unnest($3::double precision[])
) as t (id, up, down)
join herald_internal.subscription s on s.id = t.id
where s.removed_at is null
on conflict (subscription_id, hour) do update
set up_seconds = u.up_seconds + excluded.up_seconds, down_seconds = u.down_seconds + excluded.down_seconds
