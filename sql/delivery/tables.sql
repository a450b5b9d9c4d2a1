-- Unfinished deliveries (pending) and those given up (dead letters).

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
    -- In an ordered lane: what deliveries that follow each other have in common, and the place among them. All but the
    -- first are parked: next_attempt_at is infinity. The worker asks for them by their key when their turn comes.
    order_key bigint,
    order_at bigint,
    -- Since when it has failed while others may wait behind it.
    blocks_since timestamptz,
    -- When it is to be released. Until then it is parked: next_attempt_at is infinity.
    deliver_at timestamptz,
    primary key (subscription_id, event_seq)
)
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index pending_due on herald.pending (subscription_id, next_attempt_at, event_seq) where deliver_at is null;
create index pending_scheduled on herald.pending (deliver_at, event_seq) where deliver_at is not null;
create index pending_in_order on herald.pending (subscription_id, order_key, order_at, event_seq)
    where order_key is not null;
create index pending_blocking on herald.pending (subscription_id) where blocks_since is not null;
create index pending_by_event on herald.pending (event_seq);
create index pending_to_spare on herald.pending (subscription_id, spare_until) where spare_until is not null;

-- With dead_blocks: the deliveries that died and hold what comes after them in their keys, until they are sent again or
-- skipped. They outlive their dead letters, so that a key can be skipped whose letter has expired.
create table herald_internal.blocking_letter (
    subscription_id bigint not null,
    order_key bigint not null,
    order_at bigint not null,
    event_seq bigint not null,
    event_slot smallint not null,
    attempts integer not null,
    key text,
    source text not null,
    event_id text not null,
    since timestamptz not null default clock_timestamp(),
    primary key (subscription_id, event_seq)
);
create index blocking_letter_of_key on herald_internal.blocking_letter (subscription_id, order_key);

-- Scheduled events that were cancelled.
create table herald_internal.cancelled (
    event_seq bigint not null primary key,
    deliver_at timestamptz not null
);
create index cancelled_by_time on herald_internal.cancelled (deliver_at);

create sequence herald_internal.dead_letter_id_seq as bigint;

create table herald_internal.dead_letter (
    id bigint not null primary key default nextval('herald_internal.dead_letter_id_seq'),
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
do $$
begin
    if (select 'lz4' = any (s.enumvals) from pg_settings s where s.name = 'default_toast_compression') then
        alter table herald_internal.dead_letter alter event set compression lz4,
            alter subscription_config set compression lz4, alter attempt_log set compression lz4;
    end if;
end
$$;
create unique index dead_letter_of_delivery on herald_internal.dead_letter (subscription_id, event_seq);
create index dead_letter_by_event on herald_internal.dead_letter (event_seq);
create index dead_letter_expiry on herald_internal.dead_letter (expires_at);
