-- The log: events (herald.event), attempts (herald_internal.attempt) and the windows read (herald_internal.window).
-- All three are insert-only rings: fixed partitions ("slots"), filled in turn and emptied by TRUNCATE.
-- Rows are never updated or deleted, partitions are never created or dropped at run time, and none is the default
-- partition.

-- One row per ring of 32 slots. A row's slot is floor(unix time / period) % 32, computed by its writer. The period is
-- stored, not derived from a setting: the worker adapts it when herald.retention changes. Sessions use the former
-- period for a while, so the worker must know when it changed.
create table herald_internal.ring (
    name text not null primary key check (name in ('event', 'attempt')),
    period interval not null check (period > interval '0'),
    changed_at timestamptz
);

insert into herald_internal.ring (name, period)
values ('event', interval '30 days' / 29), ('attempt', interval '30 days' / 29);

-- No cache, so that a higher number was always drawn later: the reader's lower bound relies on this, and on
-- transactions having their id before they draw a number (see append.rs).
create sequence herald_internal.event_seq as bigint cache 1;

create table herald.event (
    seq bigint not null default nextval('herald_internal.event_seq'),
    xid xid8 not null default pg_current_xact_id(),
    origin bigint not null,
    time timestamptz not null,
    -- When it is to be delivered, if not as soon as possible.
    deliver_at timestamptz,
    uid uuid not null,
    size integer not null,
    slot smallint not null check (slot between 0 and 31),
    source text not null check (source <> ''),
    type text not null check (type <> ''),
    id text,
    subject text,
    key text,
    tenant text,
    priority text not null default 'normal' check (priority in ('low', 'normal', 'high')),
    dataschema text,
    extensions json,
    context json,
    data json
)
partition by list (slot);

-- lz4 is five to ten times as fast as pglz, and the writer of a large event pays for it. Partitions inherit it.
do $$
begin
    if (select 'lz4' = any (s.enumvals) from pg_settings s where s.name = 'default_toast_compression') then
        alter table herald.event alter extensions set compression lz4, alter context set compression lz4,
            alter data set compression lz4;
    end if;
end
$$;

create table herald_internal.attempt (
    event_seq bigint not null,
    subscription_id bigint not null,
    at timestamptz not null,
    attempt integer not null,
    duration_ms real not null,
    event_slot smallint not null,
    slot smallint not null check (slot between 0 and 31),
    status_code smallint,
    outcome text not null check (outcome in ('delivered', 'retrying', 'dead')),
    error_class text,
    error text,
    response text,
    -- The request of a failed attempt, if the subscription wants it. Secrets in it are ***.
    request json
)
partition by list (slot);

-- Two rows per window: one when it is opened (with its snapshots), one when it is closed (without).
create table herald_internal.window (
    number bigint not null,
    origin bigint not null,
    at timestamptz not null default clock_timestamp(),
    slot smallint not null check (slot between 0 and 3),
    state text not null check (state in ('open', 'closed')),
    timeline integer not null default 0,
    -- The window consists of the events that to_snapshot shows and from_snapshot does not. Their numbers are in
    -- (floor_seq, upper_seq].
    from_snapshot pg_snapshot,
    to_snapshot pg_snapshot,
    floor_seq bigint,
    upper_seq bigint,
    -- For the next window: events that to_snapshot does not show have numbers above next_seq, except those of its
    -- running transactions, which have numbers above next_floor_seq.
    next_seq bigint,
    next_floor_seq bigint,
    check ((state = 'open')
           = (num_nonnulls(from_snapshot, to_snapshot, floor_seq, upper_seq, next_seq, next_floor_seq) = 6))
)
partition by list (slot);

do $$
declare
    -- Slots are emptied by TRUNCATE, so vacuum only freezes, and does it early and cheaply.
    storage constant text := 'autovacuum_freeze_min_age = 0';
begin
    for slot in 0..31 loop
        execute format(
            'create table herald_internal.event_%s partition of herald.event for values in (%s) with (%s)',
            slot, slot, storage);
        execute format(
            'create table herald_internal.attempt_%s partition of herald_internal.attempt for values in (%s) with (%s)',
            slot, slot, storage);
    end loop;
    for slot in 0..3 loop
        execute format(
            'create table herald_internal.window_%s partition of herald_internal.window for values in (%s) with (%s)',
            slot, slot, storage);
    end loop;
end
$$;

-- The reader and every look-up use seq. BRIN on uid: v7 ids grow with time. No more indexes: every writer pays for
-- each.
create index event_seq_index on herald.event (seq);
create index event_uid on herald.event using brin (uid) with (pages_per_range = 32);
create index attempt_of_delivery on herald_internal.attempt (event_seq, subscription_id);
-- Tells for every window whether it is closed: without this index, and until somebody analyzes a slot, PostgreSQL reads
-- the slot again for each window.
create index window_of_number on herald_internal.window (number, state);
-- For the last hour's statistics. Costs nothing measurable: attempts arrive in time order.
create index attempt_at on herald_internal.attempt using brin (at) with (pages_per_range = 16);

-- Events that a pending delivery or a dead letter still needs when their slot is emptied.
create table herald.held_event (
    like herald.event including compression,
    primary key (seq)
);

-- Ids chosen by callers of emit(). Captured events are never here.
create table herald_internal.emitted (
    source text not null,
    id text not null,
    seq bigint not null,
    slot smallint not null,
    uid uuid not null,
    at timestamptz not null default clock_timestamp(),
    content_hash bytea not null,
    primary key (source, id)
);
create index emitted_at on herald_internal.emitted (at);
