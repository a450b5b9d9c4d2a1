-- Subscriptions and their secrets, unfinished deliveries (pending) and those given up (dead letters).

create function herald._origin() returns bigint
    language c stable
    as 'MODULE_PATHNAME', 'origin_wrapper';

create function herald._want_worker_at_commit() returns void
    language c
    as 'MODULE_PATHNAME', 'want_worker_at_commit_wrapper';

-- Takes the lock of a name until the end of the transaction. Only this function takes it, and only superusers may call
-- it: anybody who knows its number could take an advisory lock.
create function herald._lock(name text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'take_lock_wrapper';

-- Raises PostgreSQL's own error if this transaction may not write, as on a standby, before a lock or an id for the
-- transaction fails in other words.
create function herald._refuse_read_only(command text) returns void
    language c strict
    as 'MODULE_PATHNAME', 'refuse_read_only_wrapper';

create sequence herald.subscription_id_seq as bigint;

-- The rows behind the view herald.subscription. A row outlives its subscription (removed_at), so that attempts and dead
-- letters keep its name.
create table herald._subscription (
    id bigint not null primary key default nextval('herald.subscription_id_seq'),
    name text not null,
    state text not null default 'active' check (state in ('active', 'paused', 'disabled', 'sandbox')),
    state_reason text,
    state_changed_at timestamptz not null default clock_timestamp(),
    -- Whether it is a sandbox, even while it is paused: resume() does not make it send.
    is_sandbox boolean not null default false check (is_sandbox or state <> 'sandbox'),
    url text not null,
    types text[] not null,
    -- Since when its types cannot be read.
    types_unreadable_at timestamptz,
    tenant text,
    -- Whether it belongs to that tenant, whose plan and limits apply; otherwise the tenant only says whose events it
    -- gets. Stored at creation: whatever happens to the tenant's row, it never becomes the platform's.
    is_tenants boolean not null default false check (tenant is not null or not is_tenants or removed_at is not null),
    -- The other arguments of subscribe(), as one document: see herald._declared_options(). Of secrets it has only the
    -- names.
    options jsonb not null,
    -- How often url or handshake changed: a receiver's answer to a former one does not count.
    generation integer not null default 0,
    -- The receiver's answer to the handshake: when it consented, to how many deliveries a minute (null: any number), or
    -- why not.
    consented_at timestamptz,
    consent_rate integer,
    consent_error text,
    max_backlog bigint,
    dead_letter_retention interval not null check (dead_letter_retention between interval '1 second' and interval '10 years'),
    -- The subscription gets the events first visible after these: see "New subscriptions" in docs/internals.md.
    created_xid xid8 not null default pg_current_xact_id(),
    created_snapshot pg_snapshot not null default pg_current_snapshot(),
    created_seq bigint not null,
    -- The transaction that disabled it, if it is disabled. It still gets the events of windows that do not show this
    -- transaction.
    disabled_xid xid8 check ((disabled_xid is null) = (state <> 'disabled')),
    -- The database it belongs to. A row with another origin came with a dump or a copy, and waits for
    -- resume_after_restore().
    origin bigint not null default herald._origin(),
    created_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    removed_at timestamptz
);
create unique index subscription_name on herald._subscription (name) where removed_at is null;
create index subscription_of_tenant on herald._subscription (tenant) where tenant is not null;
create index subscription_removed on herald._subscription (removed_at) where removed_at is not null;
create index subscription_origin on herald._subscription (origin);
create index subscription_disabled on herald._subscription (id) where state = 'disabled' and removed_at is null;

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

-- The only mutable queue: deliveries that could not be finished at first go.
create table herald.pending (
    subscription_id bigint not null,
    event_seq bigint not null,
    next_attempt_at timestamptz not null,
    created_at timestamptz not null default clock_timestamp(),
    attempts integer not null default 0 check (attempts >= 0),
    -- The position in the retry schedule. A redelivery restarts the schedule; attempts is never reset.
    step integer not null default 0 check (step >= 0),
    event_slot smallint not null,
    -- From the last attempt, so that nobody has to search every slot for it.
    last_attempt_at timestamptz,
    duration_ms real,
    status_code smallint,
    error_class text,
    -- Until then the receiver asked to be spared: nothing is sent to it, not even by a worker that starts later.
    spare_until timestamptz,
    primary key (subscription_id, event_seq)
)
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index pending_due on herald.pending (subscription_id, next_attempt_at, event_seq);
create index pending_by_event on herald.pending (event_seq);
create index pending_to_spare on herald.pending (subscription_id, spare_until) where spare_until is not null;

create sequence herald.dead_letter_id_seq as bigint;

create table herald._dead_letter (
    id bigint not null primary key default nextval('herald.dead_letter_id_seq'),
    subscription_id bigint not null,
    subscription text not null,
    event_seq bigint not null,
    event_slot smallint not null,
    event_id text not null,
    type text not null,
    event json not null,
    subscription_config jsonb not null,
    attempt_log jsonb not null default '[]',
    reason text not null check (reason in ('exhausted', 'permanent_status', 'gone', 'too_large', 'expired',
                                           'unsubscribed', 'discarded', 'poison', 'quota')),
    -- Why it was discarded, in words.
    note text,
    attempts integer not null,
    created_at timestamptz not null,
    last_attempt_at timestamptz,
    failed_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
create unique index dead_letter_of_delivery on herald._dead_letter (subscription_id, event_seq);
create index dead_letter_by_event on herald._dead_letter (event_seq);
create index dead_letter_expiry on herald._dead_letter (expires_at);
