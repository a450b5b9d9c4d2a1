-- What tenants used in a month, and who has used it up.

-- The tenants that have used up this month's quota.
create view herald_internal.over_quota as
select t.name as tenant, t.over_quota, u.events, p.events_per_month
from herald.tenant t
join herald.plan p on p.name = t.plan
join herald_internal.usage u on u.tenant = t.name
    and u.month = pg_catalog.date_trunc('month', pg_catalog.statement_timestamp() at time zone 'UTC')::date
where u.events >= p.events_per_month;

-- What each tenant used, and what its plan allows; this month is listed even if nothing was used.
create view herald_internal.all_usage as
select
    t.name as tenant, t.plan, m.month, coalesce(u.events, 0) as events, p.events_per_month,
    coalesce(u.attempts, 0) as attempts, coalesce(u.delivered, 0) as delivered, coalesce(u.dead, 0) as dead,
    case when m.month = now.month and coalesce(u.events, 0) >= p.events_per_month then t.over_quota end as state
from herald.tenant t
join herald.plan p on p.name = t.plan
cross join (
    select pg_catalog.date_trunc('month', pg_catalog.statement_timestamp() at time zone 'UTC')::date as month
) now
cross join lateral (
    select now.month
    union
    select x.month from herald_internal.usage x where x.tenant = t.name
) m
left join herald_internal.usage u on u.tenant = t.name and u.month = m.month;

-- Adds what the worker did for tenants, and writes an event when a tenant nears or reaches its quota.
-- Called by record.rs. Writes: herald_internal.usage, herald.event.
create function herald_internal.meter(
    tenants text[], events bigint[], attempts bigint[], delivered bigint[], dead bigint[]
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    used record;
    kind text;
begin
    for used in
        with added as (
            select a.*
            from unnest(tenants, events, attempts, delivered, dead) as a (tenant, events, attempts, delivered, dead)
            -- A removed tenant has no account.
            where a.tenant in (select t.name from herald.tenant t)
        ), counted as (
            insert into herald_internal.usage as u (tenant, month, events, attempts, delivered, dead)
            select a.tenant, date_trunc('month', clock_timestamp() at time zone 'UTC')::date,
                   a.events, a.attempts, a.delivered, a.dead
            from added a
            on conflict (tenant, month) do update
                set events = u.events + excluded.events, attempts = u.attempts + excluded.attempts,
                    delivered = u.delivered + excluded.delivered, dead = u.dead + excluded.dead
            returning u.tenant, u.month, u.events
        )
        select c.tenant, c.month, c.events, c.events - a.events as before, p.events_per_month as quota,
               t.plan, t.over_quota,
               -- Four fifths, rounded up.
               p.events_per_month - p.events_per_month / 5 as near
        from counted c
        join added a on a.tenant = c.tenant
        join herald.tenant t on t.name = c.tenant
        join herald.plan p on p.name = t.plan
        where p.events_per_month > 0
    loop
        kind := case
            when used.before < used.quota and used.events >= used.quota then 'exceeded'
            when used.before < used.near and used.events >= used.near then 'warning'
        end;
        if kind is not null then
            perform herald_internal.append_event(
                'herald.quota.' || kind,
                jsonb_build_object('tenant', used.tenant, 'plan', used.plan, 'month', to_char(used.month, 'YYYY-MM'),
                                   'events', used.events, 'events_per_month', used.quota,
                                   'over_quota', used.over_quota)::text,
                herald_internal.source(), used.tenant, null, null, null, null, 'normal', used.tenant, null, null);
        end if;
    end loop;
end
$$;
