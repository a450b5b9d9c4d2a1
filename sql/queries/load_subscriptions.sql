-- $1 ids, $2 a snapshot: former states are read as far as it does not show their end; null for none. Returns those that
-- exist, with their secrets: the worker's copy. A secret is the id of the key that sealed it, a colon and the stored
-- value. No value of a column makes this fail: its reader says what is wrong with it.
select
    s.id, s.name,
    -- A tenant's subscription waits if the tenant or its role is missing: since a restore, or since the role was
    -- dropped.
    case when s.is_tenants and s.state in ('active', 'sandbox')
            and (t.name is null or t.role is not null and r.oid is null) then 'paused'
        else s.state end as state,
    s.url, s.generation, s.types, s.tenant, s.max_backlog, s.options::text as options,
    p.max_attempts as plan_max_attempts,
    s.created_xid::text as created_xid, s.created_snapshot::text as created_snapshot, s.created_seq,
    s.disabled_xid::text as disabled_xid,
    array(select pg_catalog.concat(x.key_id, ':', x.value) from herald.secret x
          where x.subscription_id = s.id and x.kind = 'signing'
          and (x.expires_at is null or x.expires_at > pg_catalog.clock_timestamp())
          order by x.expires_at is not null, x.created_at desc) as secrets,
    (select (extract(epoch from least(min(x.expires_at), '9999-01-01')) * 1000000)::bigint from herald.secret x
     where x.subscription_id = s.id and x.expires_at > pg_catalog.clock_timestamp()) as secret_ends_micros,
    v.kinds as value_kinds, v.names as value_names, v.stored as stored_values,
    s.consented_at is not null as has_consent, s.consent_rate, s.consent_error,
    s.is_tenants,
    (select pg_catalog.json_agg(
                pg_catalog.json_build_object(
                    'until_xid', f.until_xid::text, 'types', f.types, 'tenant', f.tenant, 'options', f.options,
                    'state', f.state)
                order by f.id)::text
     from herald_internal.former_match f
     where f.subscription_id = s.id and not pg_catalog.pg_visible_in_snapshot(f.until_xid, $2::pg_snapshot)) as former,
    (select (extract(epoch from b.opened_at) * 1000000)::bigint
     from herald_internal.breaker b where b.subscription_id = s.id) as open_since_micros,
    (select (extract(epoch from max(p.spare_until)) * 1000000)::bigint from herald.pending p
     where p.subscription_id = s.id and p.spare_until > (select pg_catalog.clock_timestamp())) as spare_until_micros
from pg_catalog.unnest($1::bigint[]) as wanted (id)
join herald_internal.subscription s on s.id = wanted.id
left join herald.tenant t on s.is_tenants and t.name = s.tenant
left join herald.plan p on p.name = t.plan
left join pg_catalog.pg_roles r on r.oid = t.role_oid
cross join lateral (
    select pg_catalog.array_agg(x.kind) as kinds, pg_catalog.array_agg(x.name) as names,
           pg_catalog.array_agg(pg_catalog.concat(x.key_id, ':', x.value)) as stored
    from herald.secret x
    where x.subscription_id = s.id and x.kind <> 'signing'
) v
where s.removed_at is null
