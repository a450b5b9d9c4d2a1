-- Plans, tenants, and what each tenant used; and limits of hosts.

-- Whether this is a rate, such as 10/s.
create function herald_internal.is_rate(rate text) returns boolean
    language c immutable strict
    as 'MODULE_PATHNAME', 'is_rate_wrapper';

-- What a plan allows; null means no limit.
create table herald.plan (
    name text not null primary key check (name ~ '^[A-Za-z0-9._-]{1,63}$'),
    -- Subscriptions at the same time.
    endpoints integer check (endpoints >= 0),
    -- Deliveries begun in a calendar month (UTC); retries are free.
    events_per_month bigint check (events_per_month >= 0),
    -- Attempts per delivery, including the first.
    max_attempts integer check (max_attempts > 0),
    -- Concurrent requests, over all subscriptions.
    max_connections integer check (max_connections > 0),
    -- Requests in a time, over all subscriptions.
    -- Checked by a trigger: a constraint would run with the rights of who writes.
    rate_limit text,
    dead_letter_retention interval check (dead_letter_retention between interval '1 second' and interval '10 years'),
    -- How far back a tenant may replay by itself.
    replay_window interval check (replay_window between interval '0' and interval '10 years'),
    -- Whether a tenant may filter events by itself.
    filters boolean not null default true
);

insert into herald.plan
    (name, endpoints, events_per_month, max_attempts, max_connections, dead_letter_retention, replay_window, filters)
values
    ('starter', 2, 100000, 4, 2, '24 hours', '0', false),
    ('professional', 10, 500000, 7, 5, '7 days', '0', true),
    ('enterprise', null, null, null, 50, '30 days', '30 days', true);

-- Owners of subscriptions. A tenant's role, and the roles that inherit from it, see and manage its subscriptions and
-- nothing else. The names of these subscriptions begin with the tenant's name and a slash. A subscription may name a
-- tenant without a row here: then it only gets that tenant's events.
create table herald.tenant (
    name text not null primary key check (name ~ '^[A-Za-z0-9._-]{1,31}$'),
    -- The role's name as last seen: a text, so that a dump can be restored where the role is missing.
    role name,
    -- Identifies the role and its cluster, as a role may be renamed and another may take its name. Null if the role was
    -- missing when a dump was restored.
    role_oid oid unique,
    role_cluster bigint,
    plan text not null default 'enterprise' references herald.plan on update cascade,
    -- What happens to deliveries beyond events_per_month: they are held (throttled) or given up (blocked).
    over_quota text not null default 'throttled' check (over_quota in ('throttled', 'blocked')),
    created_at timestamptz not null default clock_timestamp()
);

-- What a tenant used in a month. The worker adds to it in the transaction that records the attempts.
create table herald_internal.usage (
    tenant text not null,
    month date not null,
    events bigint not null,
    attempts bigint not null,
    delivered bigint not null,
    dead bigint not null,
    primary key (tenant, month)
)
with (fillfactor = 50);

-- What hosts take, over all subscriptions that send to them; null means no limit.
create table herald.host_limit (
    -- As in a URL, in lower case and without a port.
    host text not null primary key check (host ~ '^([a-z0-9._-]{0,252}[a-z0-9_-]|\[[0-9a-f:.]{2,45}\])$'),
    -- Checked by a trigger: a constraint would run with the rights of who writes.
    rate_limit text,
    max_concurrency integer check (max_concurrency between 1 and 1000),
    created_at timestamptz not null default clock_timestamp()
);
