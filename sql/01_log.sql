-- The log: events (herald.event), attempts (herald._attempt) and the windows read (herald.window).
-- All three are insert-only rings: fixed partitions ("slots"), filled in turn and emptied by TRUNCATE.
-- Rows are never updated or deleted, partitions are never created or dropped at run time, and none is the default
-- partition.

-- CREATE EXTENSION accepts an existing schema herald, for example after a restore, whatever it contains and whoever
-- owns it. Functions planted there could be called in place of ours, with a superuser's rights, so the schema must be
-- as good as new. Until that is known, nothing is looked up in it.
do $$
declare
    previous constant text := pg_catalog.current_setting('search_path');
    squatted record;
begin
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    select n.nspname as name, n.oid, n.nspowner::regrole as owner, a.rolsuper as is_superusers,
        exists (
            select from pg_depend d
            where d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid and d.classid <> 'pg_extension'::regclass
        ) as has_objects,
        (
            select string_agg(case when g.grantee = 0 then 'public' else g.grantee::regrole::text end, ', ')
            from aclexplode(n.nspacl) g
            left join pg_roles r on r.oid = g.grantee
            where g.privilege_type = 'CREATE' and g.grantee <> n.nspowner and r.rolsuper is not true
        ) as creators
    into squatted
    from pg_namespace n
    join pg_roles a on a.oid = n.nspowner
    where n.nspname in ('herald', 'herald_watch')
    order by 4, 5 desc, 6 nulls last
    limit 1;
    if not squatted.is_superusers or squatted.has_objects or squatted.creators is not null then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('schema "%s" exists and cannot be trusted', squatted.name),
            detail = case
                when not squatted.is_superusers then format('It belongs to %s, who is no superuser.', squatted.owner)
                when squatted.has_objects then 'It is not empty.'
                else format('%s may create objects in it.', squatted.creators) end,
            hint = format('Look at what is in it, then run: drop schema %s cascade;', squatted.name);
    end if;
    -- A leftover that passed the checks: 03_watch.sql creates it again.
    if exists (select from pg_namespace n where n.nspname = 'herald_watch') then
        drop schema herald_watch;
    end if;
    perform set_config('search_path', previous, true);
end
$$;

-- One row per ring of 32 slots. A row's slot is floor(unix time / period) % 32, computed by its writer. The period is
-- stored, not derived from a setting: the worker adapts it when herald.retention changes. Sessions use the former
-- period for a while, so the worker must know when it changed.
create table herald.ring (
    name text not null primary key check (name in ('event', 'attempt')),
    period interval not null check (period > interval '0'),
    changed_at timestamptz
);

insert into herald.ring (name, period)
values ('event', interval '30 days' / 29), ('attempt', interval '30 days' / 29);

-- No cache, so that a higher number was always drawn later: the reader's lower bound relies on this, and on
-- transactions having their id before they draw a number (see append.rs).
create sequence herald.event_seq as bigint cache 1;

create table herald.event (
    seq bigint not null default nextval('herald.event_seq'),
    xid xid8 not null default pg_current_xact_id(),
    origin bigint not null,
    time timestamptz not null,
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

create table herald._attempt (
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
create table herald.window (
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
    check ((state = 'open') = (num_nonnulls(from_snapshot, to_snapshot, floor_seq, upper_seq, next_seq, next_floor_seq) = 6))
)
partition by list (slot);

do $$
declare
    -- Slots are emptied by TRUNCATE, so vacuum only freezes, and does it early and cheaply.
    storage constant text := 'autovacuum_freeze_min_age = 0';
begin
    for slot in 0..31 loop
        execute format('create table herald.event_%s partition of herald.event for values in (%s) with (%s)', slot, slot, storage);
        execute format('create table herald._attempt_%s partition of herald._attempt for values in (%s) with (%s)', slot, slot, storage);
    end loop;
    for slot in 0..3 loop
        execute format('create table herald.window_%s partition of herald.window for values in (%s) with (%s)', slot, slot, storage);
    end loop;
end
$$;

-- The reader and every look-up use seq. BRIN on uid: v7 ids grow with time. No more indexes: every writer pays for
-- each.
create index event_seq_index on herald.event (seq);
create index event_uid on herald.event using brin (uid) with (pages_per_range = 32);
create index attempt_of_delivery on herald._attempt (event_seq, subscription_id);
-- Tells for every window whether it is closed: without this index, and until somebody analyzes a slot, PostgreSQL reads
-- the slot again for each window.
create index window_of_number on herald.window (number, state);
-- For the last hour's statistics. Costs nothing measurable: attempts arrive in time order.
create index attempt_at on herald._attempt using brin (at) with (pages_per_range = 16);

-- Events that a pending delivery or a dead letter still needs when their slot is emptied.
create table herald.held_event (
    like herald.event,
    primary key (seq)
);

-- Ids chosen by callers of emit(). Captured events are never here.
create table herald.emitted (
    source text not null,
    id text not null,
    seq bigint not null,
    slot smallint not null,
    uid uuid not null,
    at timestamptz not null default clock_timestamp(),
    content_hash bytea not null,
    primary key (source, id)
);
create index emitted_at on herald.emitted (at);
