-- $1 id. Returns what is known of a subscription that cannot be read entirely.
select
    s.name, s.state, s.tenant, t.name is not null as is_tenants,
    s.created_xid::text as created_xid, s.created_snapshot::text as created_snapshot, s.created_seq,
    s.disabled_xid::text as disabled_xid
from herald_internal.subscription s
left join herald.tenant t on t.name = s.tenant
where s.id = $1
and s.removed_at is null
