-- Every subscription that exists, with its secrets: the worker's copy.
select
    s.id, s.name, s.state, s.url, s.types, s.tenant,
    (extract(epoch from s.timeout) * 1000000)::bigint as timeout_micros,
    array(select (extract(epoch from i) * 1000000)::bigint
          from pg_catalog.unnest(s.retry_schedule) with ordinality as r (i, position) order by position) as retry_schedule_micros,
    s.retry_jitter, s.max_attempts, s.max_concurrency, s.max_payload,
    (extract(epoch from s.max_age) * 1000000)::bigint as max_age_micros,
    s.created_xid::text as created_xid, s.created_snapshot::text as created_snapshot, s.created_seq,
    array(select x.value from herald.secret x
          where x.subscription_id = s.id and x.kind = 'signing'
          and (x.expires_at is null or x.expires_at > pg_catalog.clock_timestamp())
          order by x.expires_at is not null, x.created_at desc) as secrets,
    (select (extract(epoch from min(x.expires_at)) * 1000000)::bigint from herald.secret x
     where x.subscription_id = s.id and x.expires_at > pg_catalog.clock_timestamp()) as secret_ends_micros,
    array(select x.name from herald.secret x where x.subscription_id = s.id and x.kind = 'header' order by x.name) as header_names,
    array(select x.value from herald.secret x where x.subscription_id = s.id and x.kind = 'header' order by x.name) as header_values
from herald._subscription s
where s.removed_at is null
order by s.id
