-- The audit: who changed what, in the transaction of the change. Secrets are named but never shown.

create sequence herald_internal.audit_id_seq as bigint;

create table herald.audit (
    -- Not unique: a restore brings the old entries, and makes one for each row that it inserts.
    id bigint not null default nextval('herald_internal.audit_id_seq'),
    at timestamptz not null default clock_timestamp(),
    -- The acting role, and the role that logged in.
    role text not null,
    session_role text not null,
    application text not null,
    action text not null check (action in ('created', 'changed', 'removed')),
    kind text not null check (kind in ('subscription', 'secret', 'watch', 'tenant', 'plan', 'host_limit')),
    name text not null,
    before jsonb,
    after jsonb
);
create index audit_by_name on herald.audit (kind, name, at);
create index audit_at on herald.audit (at);

-- Returns what is shown of a row.
create function herald_internal.shown(kind text, value jsonb) returns jsonb
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return case kind
        when 'secret' then jsonb_build_object('kind', value -> 'kind', 'name', value -> 'name', 'value', '***',
                                              'expires_at', value -> 'expires_at')
        else herald_internal.with_options_spread(value)
            - '{created_xid,created_snapshot,created_seq,disabled_xid,changed_at,origin,column_table,column_numbers,
                functions}'::text[]
    end;

-- Returns a value as it is kept: if longer than 4,000 bytes, only its first 1,000 characters.
create function herald_internal.cut(value jsonb) returns jsonb
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return case when octet_length(value::text) <= 4000 then value
        else to_jsonb(format('%s... (%s bytes)', left(value::text, 1000), octet_length(value::text))) end;

-- Returns the members of a row that are kept: of a changed row, those that differ.
create function herald_internal.kept(shown jsonb, other jsonb) returns jsonb
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return (
        select jsonb_object_agg(m.key, herald_internal.cut(m.value))
        from jsonb_each(shown) m
        where other is null or m.value is distinct from other -> m.key);

-- Records one changed row. Called by triggers on what is audited.
-- Writes: herald.audit.
create function herald_internal.audit() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    set quote_all_identifiers = off
as $$
declare
    kind constant text := tg_argv[0];
    before constant jsonb := case when tg_op <> 'INSERT' then herald_internal.shown(kind, to_jsonb(old)) end;
    after constant jsonb := case when tg_op <> 'DELETE' then herald_internal.shown(kind, to_jsonb(new)) end;
    entry constant jsonb := coalesce(to_jsonb(new), to_jsonb(old));
begin
    -- Resealing a secret changes nothing that is shown.
    if before is not distinct from after then
        return null;
    end if;
    -- A subscription whose history ends was removed long ago.
    if tg_op = 'DELETE' and before ->> 'removed_at' is not null then
        return null;
    end if;
    -- The end of a secret was recorded when it was decided.
    if tg_op = 'DELETE' and kind = 'secret' and before ->> 'expires_at' is not null then
        return null;
    end if;
    insert into herald.audit (role, session_role, application, action, kind, name, before, after)
    values (
        herald_internal.caller()::text, session_user, current_setting('application_name'),
        case
            when tg_op = 'INSERT' then 'created'
            when tg_op = 'DELETE' or after ->> 'removed_at' is not null then 'removed'
            else 'changed'
        end,
        kind,
        case kind
            when 'secret' then coalesce((select s.name from herald_internal.subscription s
                                         where s.id = (entry ->> 'subscription_id')::bigint),
                                        entry ->> 'subscription_id')
            when 'watch' then format('%s on %s', entry ->> 'name', entry ->> 'table_name')
            when 'host_limit' then entry ->> 'host'
            else entry ->> 'name'
        end,
        herald_internal.kept(before, after), herald_internal.kept(after, before));
    return null;
end
$$;

create trigger audit after insert or update or delete on herald_internal.subscription
    for each row execute function herald_internal.audit('subscription');
create trigger audit after insert or update or delete on herald.secret
    for each row execute function herald_internal.audit('secret');
create trigger audit after insert or update or delete on herald_internal.watch
    for each row execute function herald_internal.audit('watch');
create trigger audit after insert or update or delete on herald.tenant
    for each row execute function herald_internal.audit('tenant');
create trigger audit after insert or update or delete on herald.plan
    for each row execute function herald_internal.audit('plan');
create trigger audit after insert or update or delete on herald.host_limit
    for each row execute function herald_internal.audit('host_limit');
