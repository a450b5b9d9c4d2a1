-- Returns what the plans of tenants allow, what they used this month, and when the next month begins.
select
    t.name, p.events_per_month, p.max_connections::bigint as max_connections, p.rate_limit,
    t.over_quota = 'blocked' as is_blocked,
    coalesce(u.events, 0) as events,
    (extract(epoch from (m.month + interval '1 month') at time zone 'UTC') * 1000000)::bigint as next_month_micros
from herald.tenant t
join herald.plan p on p.name = t.plan
cross join (
    select pg_catalog.date_trunc('month', pg_catalog.clock_timestamp() at time zone 'UTC') as month
) m
left join herald_internal.usage u on u.tenant = t.name and u.month = m.month::date
