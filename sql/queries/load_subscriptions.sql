-- $1 ids. Those of them that exist, with their secrets: the worker's copy. A secret comes as the id of the key that sealed it,
-- a colon and what is stored. No value of a column makes this fail: what is wrong with one is told by its reader.
select
    s.id, s.name,
    -- What is a tenant's waits where the tenant, or its role, is missing: since a restore, or since the role was dropped.
    case when s.is_tenants and s.state in ('active', 'sandbox')
            and (t.name is null or t.role is not null and r.oid is null) then 'paused'
        else s.state end as state,
    s.url, s.generation, s.types, s.tenant,
    herald._micros(s.timeout) as timeout_micros,
    array(select herald._micros(i)
          from pg_catalog.unnest(s.retry_schedule) with ordinality as r (i, position) order by position) as retry_schedule_micros,
    s.retry_jitter, least(s.max_attempts, p.max_attempts) as max_attempts, s.success, s.retry_on,
    herald._micros(s.timeout_delay) as timeout_delay_micros, s.max_concurrency, s.max_payload,
    herald._micros(s.max_age) as max_age_micros,
    herald._micros(s.retry_duration) as retry_duration_micros, s.max_backlog,
    s.created_xid::text as created_xid, s.created_snapshot::text as created_snapshot, s.created_seq,
    array(select pg_catalog.concat(x.key_id, ':', x.value) from herald.secret x
          where x.subscription_id = s.id and x.kind = 'signing'
          and (x.expires_at is null or x.expires_at > pg_catalog.clock_timestamp())
          order by x.expires_at is not null, x.created_at desc) as secrets,
    (select (extract(epoch from least(min(x.expires_at), '9999-01-01')) * 1000000)::bigint from herald.secret x
     where x.subscription_id = s.id and x.expires_at > pg_catalog.clock_timestamp()) as secret_ends_micros,
    array(select x.name from herald.secret x where x.subscription_id = s.id and x.kind = 'header' order by x.name) as header_names,
    array(select pg_catalog.concat(x.key_id, ':', x.value) from herald.secret x
          where x.subscription_id = s.id and x.kind = 'header' order by x.name) as header_values,
    array(select x.name from herald.secret x where x.subscription_id = s.id and x.kind = 'tls' order by x.name) as tls_names,
    array(select pg_catalog.concat(x.key_id, ':', x.value) from herald.secret x
          where x.subscription_id = s.id and x.kind = 'tls' order by x.name) as tls_values,
    array(select x.name from herald.secret x where x.subscription_id = s.id and x.kind = 'auth' order by x.name) as auth_names,
    array(select pg_catalog.concat(x.key_id, ':', x.value) from herald.secret x
          where x.subscription_id = s.id and x.kind = 'auth' order by x.name) as auth_values,
    herald._style(s, s.auth) as style, s.consented_at is not null as has_consent, s.consent_rate, s.consent_error,
    pg_catalog.cardinality(s.header_names) + pg_catalog.cardinality(s.tls_names)
        + (select count(*)::integer
           from pg_catalog.jsonb_each_text(case when pg_catalog.jsonb_typeof(s.auth) = 'object' then s.auth end) m
           where m.value = '***') as value_count,
    s.is_tenants
from pg_catalog.unnest($1::bigint[]) as wanted (id)
join herald._subscription s on s.id = wanted.id
left join herald.tenant t on s.is_tenants and t.name = s.tenant
left join herald.plan p on p.name = t.plan
left join pg_catalog.pg_roles r on r.oid = t.role_oid
where s.removed_at is null
