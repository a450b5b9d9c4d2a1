-- Retries failed deliveries now, ahead of schedule.

-- Makes deliveries that wait for a retry due now, or once their receivers allow: until the end of Retry-After, a
-- receiver is spared. Without a subscription: those of all that are the caller's. Returns how many.
-- Writes: herald.pending, herald_internal.config_change.
create function herald_internal._retry(
    subscription text default null, since timestamptz default null, until timestamptz default null
)
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    own constant text[] := herald_internal.tenants_of(herald_internal.caller());
    only_id bigint;
    how_many bigint;
begin
    if $1 is not null then
        only_id := (herald_internal.find_subscription($1)).id;
    end if;
    with retried as (
        update herald.pending p
        set next_attempt_at = greatest(clock_timestamp(), p.spare_until)
        -- A delivery that its receiver postponed is already due within a second of that time.
        where p.attempts > 0 and p.next_attempt_at < 'infinity'
        and p.next_attempt_at > greatest(clock_timestamp(), p.spare_until) + interval '1 second'
        and (only_id is null or p.subscription_id = only_id)
        and (own is null or p.subscription_id in (
            select s.id from herald_internal.subscription s where s.is_tenants and s.tenant = any (own)))
        and p.last_attempt_at >= coalesce($2, '-infinity') and p.last_attempt_at < coalesce($3, 'infinity')
        returning p.subscription_id
    ), changed as (
        select r.subscription_id, count(*) as how_many from retried r group by r.subscription_id
    )
    select sum(c.how_many) into how_many
    from changed c
    cross join lateral (select herald_internal.changed('pending', c.subscription_id)) n;
    return coalesce(how_many, 0);
end
$$;
