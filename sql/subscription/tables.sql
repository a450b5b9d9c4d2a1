-- Subscriptions and their secrets.

create sequence herald_internal.subscription_id_seq as bigint;

-- The rows behind the view herald.subscription. A row outlives its subscription (removed_at), so that attempts and dead
-- letters keep its name.
create table herald_internal.subscription (
    id bigint not null primary key default nextval('herald_internal.subscription_id_seq'),
    name text not null,
    state text not null default 'active' check (state in ('active', 'paused', 'disabled', 'sandbox')),
    state_reason text,
    state_changed_at timestamptz not null default clock_timestamp(),
    -- Whether it is a sandbox, even while it is paused: resume() does not make it send.
    is_sandbox boolean not null default false check (is_sandbox or state <> 'sandbox'),
    url text not null,
    types text[] not null,
    -- Since when it cannot be read which events it gets: its types, filter, split, sample or active_hours.
    unreadable_at timestamptz,
    tenant text,
    -- Whether it belongs to that tenant, whose plan and limits apply; otherwise the tenant only says whose events it
    -- gets. Stored at creation: whatever happens to the tenant's row, it never becomes the platform's.
    is_tenants boolean not null default false check (tenant is not null or not is_tenants or removed_at is not null),
    -- The other arguments of subscribe(), as one document: see herald_internal.declared_options(). Of secrets it has
    -- only the names.
    options jsonb not null,
    -- How often url or handshake changed: a receiver's answer to a former one does not count.
    generation integer not null default 0,
    -- The receiver's answer to the handshake: when it consented, to how many deliveries a minute (null: any number), or
    -- why not.
    consented_at timestamptz,
    consent_rate integer,
    consent_error text,
    max_backlog bigint,
    dead_letter_retention interval not null
        check (dead_letter_retention between interval '1 second' and interval '10 years'),
    -- The subscription gets the events first visible after these: see "New subscriptions" in docs/internals.md.
    created_xid xid8 not null default pg_current_xact_id(),
    created_snapshot pg_snapshot not null default pg_current_snapshot(),
    created_seq bigint not null,
    -- The transaction that disabled it, if it is disabled. It still gets the events of windows that do not show this
    -- transaction.
    disabled_xid xid8 check ((disabled_xid is null) = (state <> 'disabled')),
    -- The database it belongs to. A row with another origin came with a dump or a copy, and waits for
    -- resume_after_restore().
    origin bigint not null default herald_internal.origin(),
    created_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    removed_at timestamptz
);
create unique index subscription_name on herald_internal.subscription (name) where removed_at is null;
create index subscription_of_tenant on herald_internal.subscription (tenant) where tenant is not null;
create index subscription_of_group on herald_internal.subscription ((options -> 'split' ->> 'group'))
    where (options -> 'split' ->> 'group') is not null;
create index subscription_removed on herald_internal.subscription (removed_at) where removed_at is not null;
create index subscription_origin on herald_internal.subscription (origin);
create index subscription_disabled on herald_internal.subscription (id) where state = 'disabled' and removed_at is null;

-- What a subscription matched until a transaction changed it. Windows that do not show the transaction go by it, so
-- that an event has the same subscriptions whenever its window is read again. At most 100 states of a subscription are
-- kept between two rounds of housekeeping: changes beyond that count for windows that were read before them, too.
create table herald_internal.former_match (
    id bigint generated always as identity primary key,
    subscription_id bigint not null,
    until_xid xid8 not null default pg_current_xact_id(),
    types text[] not null,
    tenant text,
    -- The options that decide which events it gets, beside these: see selecting().
    options jsonb not null,
    -- A member of a group that is not active leaves its events to the others.
    state text not null,
    unique (subscription_id, until_xid)
);

-- Returns those of a subscription's stored options that decide which events it gets.
create function herald_internal.selecting(options jsonb) returns jsonb
    language sql immutable
    set search_path = pg_catalog, pg_temp
    return (
        select coalesce(jsonb_object_agg(o.key, o.value), '{}')
        from jsonb_each(case when jsonb_typeof(options) = 'object' then options end) o
        where o.key in ('filter', 'split', 'sample', 'active_hours'));

create function herald_internal.keep_former_match() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    insert into herald_internal.former_match (subscription_id, types, tenant, options, state)
    select old.id, old.types, old.tenant, herald_internal.selecting(old.options), old.state
    where (select count(*) from herald_internal.former_match f where f.subscription_id = old.id) < 100
    on conflict do nothing;
    return null;
end
$$;

create trigger keep_former_match after update of types, tenant, options, state on herald_internal.subscription
    for each row
    when ((old.types, old.tenant, herald_internal.selecting(old.options))
        is distinct from (new.types, new.tenant, herald_internal.selecting(new.options))
        or old.options ? 'split' and old.state <> new.state)
    execute function herald_internal.keep_former_match();

-- The breakers that are open. The worker writes it, for people and for the next worker.
create table herald_internal.breaker (
    subscription_id bigint not null primary key,
    opened_at timestamptz not null,
    -- When an attempt last failed, and why.
    failed_at timestamptz not null default clock_timestamp(),
    failure text not null
);

-- For how long in each hour receivers with probe_every were up and down. The worker writes it.
create table herald_internal.uptime (
    subscription_id bigint not null,
    hour timestamptz not null,
    up_seconds double precision not null,
    down_seconds double precision not null,
    primary key (subscription_id, hour)
);
create index uptime_by_hour on herald_internal.uptime (hour);

-- Never dumped; readable by superusers only.
create table herald.secret (
    subscription_id bigint not null,
    -- The option that this is a member of, or signing.
    kind text not null check (kind in ('signing', 'headers', 'secrets', 'tls', 'auth')),
    name text not null default '',
    value text not null,
    -- The key that sealed the value; null if it is not sealed.
    key_id text,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz
);
create index secret_of_subscription on herald.secret (subscription_id);
