-- Gives deliveries up, set by set: their events, their subscriptions' options and their attempts become dead letters.

-- Returns the same text as json, without checking it: parts that are json make json, and parsing needs as much stack as
-- they are deep. Called by event_json(), write_dead_letters().
create function herald_internal.as_json(valid_json text) returns json
    language c immutable strict
    as 'MODULE_PATHNAME', 'as_json_wrapper';

-- Whether arrays and objects are nested in more levels than anything reads: 128.
create function herald_internal.is_too_deep(valid_json text) returns boolean
    language c immutable strict
    as 'MODULE_PATHNAME', 'is_too_deep_wrapper';

-- Returns an event's data as members of a dead letter's json. Data that is too large or too deep to be read with ease,
-- or not wanted, is left out, and the letter says so; the log keeps it until its retention ends.
-- Called by write_dead_letters(). Has no search_path, so that the planner inlines it.
create function herald_internal.data_members(data json, size integer, keeps_data boolean) returns text
    language sql immutable
    return case
        when data is null then null
        when not keeps_data then ',"dataomitted":"its ' || size || ' bytes are not kept in a dead letter"'
        when size > 131072 then ',"dataomitted":"its ' || size || ' bytes are more than 131072"'
        when herald_internal.is_too_deep(data::text) then ',"dataomitted":"it is nested more than 128 levels deep"'
        else ',"data":' || data::text
    end;

-- Returns an event as CloudEvents JSON, for people who read dead letters. Concatenated as text: data may have what
-- nobody can decode, such as half a surrogate pair. Attributes are bounded when they are written; a row made by other
-- means must not keep its delivery from being buried.
-- Called by write_dead_letters(). Inlined, as above.
create function herald_internal.event_json(
    id text, source text, type text, subject text, "time" timestamptz, key text, tenant text, dataschema text,
    extensions json, data_members text
)
    returns json
    language sql stable
    return herald_internal.as_json(pg_catalog.concat(
        '{"specversion":"1.0","id":', pg_catalog.to_json(pg_catalog.left(id, 4096)),
        ',"source":', pg_catalog.to_json(pg_catalog.left(source, 4096)),
        ',"type":', pg_catalog.to_json(pg_catalog.left(type, 4096)),
        ',"subject":' || pg_catalog.to_json(pg_catalog.left(subject, 4096))::text,
        ',"time":', pg_catalog.to_json("time"),
        ',"partitionkey":' || pg_catalog.to_json(pg_catalog.left(key, 4096))::text,
        ',"tenant":' || pg_catalog.to_json(pg_catalog.left(tenant, 4096))::text,
        ',"dataschema":' || pg_catalog.to_json(pg_catalog.left(dataschema, 4096))::text,
        case when pg_catalog.pg_column_size(extensions) <= 65536 then ',"extensions":' || extensions::text end,
        data_members, '}'));

-- Notes that the worker is at this dead letter, and returns how often it died of it; 0 in other processes.
-- Called by write_dead_letters(), for each letter before its event is read.
create function herald_internal.begin_letter(event_slot smallint, event_seq bigint, subscription_id bigint)
    returns integer
    language c volatile strict
    as 'MODULE_PATHNAME', 'begin_letter_wrapper';

-- Returns the slots that may have attempts made since a time: all of them if it is long ago or no time that has passed,
-- or if the period of the ring was another one then.
-- Called by write_dead_letters().
create function herald_internal.attempt_slots(since timestamptz) returns smallint[]
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    now constant timestamptz := clock_timestamp();
    ring herald_internal.ring;
begin
    select r.* into ring from herald_internal.ring r where r.name = 'attempt';
    if (since between now - 28 * ring.period and now
        and since >= coalesce(ring.changed_at + interval '1 day', since)) is not true
    then
        return array(select n from generate_series(0, 31) n);
    end if;
    -- One more on either side, as the clock may have been set.
    return array(
        select n % 32
        from generate_series(
            floor(extract(epoch from since) * 1000000 / herald_internal.micros(ring.period))::bigint - 1,
            floor(extract(epoch from now) * 1000000 / herald_internal.micros(ring.period))::bigint + 1) n);
end
$$;

-- Creates two functions with a statement for each slot. A statement over all slots takes milliseconds to start, and
-- more to plan again whenever one of their 64 tables was analyzed; the worker gives deliveries up between those of
-- others.
do $do$
declare
    dead_letters constant text := $sql$
            insert into herald_internal.dead_letter (
                subscription_id, subscription, event_seq, event_slot, event_id, type, event, subscription_config,
                attempt_log, reason, note, attempts, created_at, last_attempt_at, expires_at)
            with owner as materialized (
                select s.id, s.name,
                       herald_internal.with_options_spread(to_jsonb(s))
                           - '{id,created_xid,created_snapshot,created_seq,disabled_xid,removed_at,unreadable_at,
                               generation,origin}'::text[] as config,
                       clock_timestamp() + least(s.dead_letter_retention, p.dead_letter_retention) as expires_at
                from herald_internal.subscription s
                left join herald.tenant t on s.is_tenants and t.name = s.tenant
                left join herald.plan p on p.name = t.plan
                where s.id = any ($1)
            ), given_up as (
                -- The same delivery may be given up twice in one call, once for its window and once as redelivered: the
                -- last one counts.
                select distinct on (g.subscription_id, g.event_seq) g.*
                from unnest($1, $2, $3, $4, $5, $6) with ordinality
                    as g (subscription_id, event_slot, event_seq, reason, attempts, created_at, position)
                where g.event_slot = written_slot
                order by g.subscription_id, g.event_seq, g.position desc
            )
            select
                o.id, o.name, g.event_seq, g.event_slot, coalesce(e.event_id, '?'), coalesce(e.type, '?'),
                coalesce(e.event, herald_internal.as_json('{}')), o.config, coalesce(a.attempt_log, '[]'), g.reason, $7,
                g.attempts, g.created_at, (a.attempt_log -> -1 ->> 'at')::timestamptz, o.expires_at
            from given_up g
            join owner o on o.id = g.subscription_id
            left join lateral (
                select
                    left(coalesce(v.id, v.uid::text), 4096) as event_id, left(v.type, 4096) as type,
                    herald_internal.event_json(
                        coalesce(v.id, v.uid::text), v.source, v.type, v.subject, v.time, v.key, v.tenant, v.dataschema,
                        v.extensions,
                        herald_internal.data_members(
                            v.data, v.size, $8 = 'everything' and b.deaths = 0 and g.reason <> 'too_large')) as event
                from (select herald_internal.begin_letter(g.event_slot, g.event_seq, g.subscription_id) as deaths) b
                cross join lateral (
                    -- The condition is in here, so that an unwanted event is not even read.
                    select v.* from %s v
                    where $8 <> 'nothing' and b.deaths < 2 and v.seq = g.event_seq
                    union all
                    select h.* from herald.held_event h
                    where $8 <> 'nothing' and b.deaths < 2 and h.seq = g.event_seq
                    limit 1
                ) v
            ) e on true
            cross join lateral (
                -- Most of a backlog was never tried. Without "offset 0" the log would be made twice.
                select case when g.attempts > 0 then (
                    select jsonb_agg(jsonb_build_object(
                        'attempt', t.attempt, 'at', t.at, 'status_code', t.status_code, 'error_class', t.error_class,
                        'error', t.error, 'duration_ms', t.duration_ms, 'response', left(t.response, 1000))
                        -- Only for the last attempt, because requests are long.
                        || case when t.request is not null and t.attempt = g.attempts
                            then jsonb_build_object('request', t.request) else '{}' end
                        order by t.at)
                    from herald_internal.attempts_of(tried_slots, g.event_seq, g.subscription_id) t
                ) end as attempt_log
                offset 0
            ) a
            on conflict (subscription_id, event_seq) do update
                set reason = excluded.reason, note = excluded.note, attempts = excluded.attempts,
                    attempt_log = excluded.attempt_log, last_attempt_at = excluded.last_attempt_at,
                    failed_at = excluded.failed_at, expires_at = excluded.expires_at;$sql$;
begin
    -- Returns the attempts of a delivery that are in these slots.
    execute format($format$
        create function herald_internal.attempts_of(slots smallint[], event_seq bigint, subscription_id bigint)
            returns setof herald_internal.attempt
            language plpgsql
            set search_path = pg_catalog, pg_temp
        as $body$
        declare
            slot smallint;
        begin
            foreach slot in array slots loop
                case slot
                %s
                end case;
            end loop;
        end
        $body$
        $format$,
        (select string_agg(format('when %s then return query select t.* from herald_internal.attempt_%s t '
                                  'where t.event_seq = $2 and t.subscription_id = $3;', n, n), E'\n                ')
         from generate_series(0, 31) n));
    -- Writes dead letters, given as columns. "keeping" says how much of their events: everything, attributes, or
    -- nothing. A letter of which the worker died keeps less: no data, and after another death nothing. A row made by
    -- other means may name a slot that does not exist.
    -- Called by bury(). Writes: herald_internal.dead_letter.
    execute format($format$
        create function herald_internal.write_dead_letters(
            subscription_ids bigint[], event_slots smallint[], event_seqs bigint[], reasons text[], attempts integer[],
            created_at timestamptz[], note text, keeping text) returns void
            language plpgsql
            set search_path = pg_catalog, pg_temp
        as $body$
        declare
            tried_since constant timestamptz := (
                select min(g.at) from unnest($6, $5) g (at, attempts) where g.attempts > 0);
            tried_slots constant smallint[] := case when tried_since is not null
                then herald_internal.attempt_slots(tried_since) end;
            written_slot smallint;
        begin
            foreach written_slot in array array(select distinct e from unnest($2) e) loop
                case written_slot
                %s
                else %s
                end case;
            end loop;
        end
        $body$
        $format$,
        (select string_agg(format('when %s then', n)
                           || format(dead_letters, 'herald_internal.event_' || n), E'\n                ')
         from generate_series(0, 31) n),
        format(dead_letters, 'herald.held_event'));
end
$do$;

-- Gives deliveries up, given as columns. Finds, by halving, an event that cannot be read or makes no dead letter: only
-- its own letter lacks the data, or the whole event.
-- Called by the worker and by discard(), unsubscribe(). Writes: herald_internal.dead_letter.
create function herald_internal.bury(
    subscription_ids bigint[], event_slots smallint[], event_seqs bigint[], reasons text[], attempts integer[],
    created_at timestamptz[], note text default null
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    how_many constant integer := coalesce(cardinality(subscription_ids), 0);
    half constant integer := how_many / 2;
begin
    if how_many = 0 then
        return;
    end if;
    begin
        perform herald_internal.write_dead_letters($1, $2, $3, $4, $5, $6, $7, 'everything');
        return;
    exception when data_exception or program_limit_exceeded or out_of_memory or internal_error then
        null;
    end;
    if how_many > 1 then
        perform herald_internal.bury($1[:half], $2[:half], $3[:half], $4[:half], $5[:half], $6[:half], $7);
        perform herald_internal.bury($1[half + 1:], $2[half + 1:], $3[half + 1:], $4[half + 1:],
                                     $5[half + 1:], $6[half + 1:], $7);
        return;
    end if;
    begin
        perform herald_internal.write_dead_letters($1, $2, $3, $4, $5, $6, $7, 'attributes');
        return;
    exception when data_exception or program_limit_exceeded or out_of_memory or internal_error then
        null;
    end;
    perform herald_internal.write_dead_letters($1, $2, $3, $4, $5, $6, $7, 'nothing');
end
$$;

-- Buries a subscription's deliveries pending since no later than a time, all or nothing. Returns how many.
-- Called by discard(), unsubscribe(), resume_after_restore(). Writes: herald.pending, herald_internal.dead_letter.
create function herald_internal.bury_pending(subscription_id bigint, reason text, until timestamptz default 'infinity',
                                             note text default null)
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    -- Bounds the memory, and the work repeated when a letter cannot be written.
    slice constant integer := 10000;
    after_seq bigint := -1;
    last_seq bigint;
    gone record;
    how_many bigint := 0;
begin
    loop
        select max(n.event_seq) into last_seq
        from (select p.event_seq from herald.pending p
              where p.subscription_id = $1 and p.event_seq > after_seq
              order by p.event_seq limit slice) n;
        exit when last_seq is null;
        with deleted as (
            delete from herald.pending p
            where p.subscription_id = $1 and p.event_seq > after_seq and p.event_seq <= last_seq and p.created_at <= $3
            returning p.event_slot, p.event_seq, p.attempts, p.created_at
        )
        select count(*)::integer as how_many, array_agg(d.event_slot) as slots, array_agg(d.event_seq) as seqs,
               array_agg(d.attempts) as attempts, array_agg(d.created_at) as created_at
        into gone
        from deleted d;
        perform herald_internal.bury(
            array_fill($1, array[gone.how_many]), gone.slots, gone.seqs, array_fill($2, array[gone.how_many]),
            gone.attempts, gone.created_at, $4);
        how_many := how_many + gone.how_many;
        after_seq := last_seq;
    end loop;
    return how_many;
end
$$;

-- Buries at most "most" pending deliveries of a subscription, skipping locked ones. Returns how many, and the number to
-- continue after: deleted rows stay in the index while an old snapshot may see them, and the next slice must not walk
-- over them again.
-- Called by the worker, between deliveries. Writes: herald.pending, herald_internal.dead_letter.
create function herald_internal.bury_slice(subscription_id bigint, reason text, after_seq bigint, most integer,
                                           out buried bigint, out last_seq bigint)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    gone record;
begin
    with picked as materialized (
        select p.event_seq from herald.pending p
        where p.subscription_id = $1 and p.event_seq > after_seq
        order by p.event_seq
        limit most
        for update skip locked
    ), deleted as (
        delete from herald.pending p
        using picked k
        where p.subscription_id = $1 and p.event_seq = k.event_seq
        returning p.event_slot, p.event_seq, p.attempts, p.created_at
    )
    select count(*)::integer as how_many, array_agg(d.event_slot) as slots, array_agg(d.event_seq) as seqs,
           array_agg(d.attempts) as attempts, array_agg(d.created_at) as created_at, max(d.event_seq) as last_seq
    into gone
    from deleted d;
    perform herald_internal.bury(
        array_fill($1, array[gone.how_many]), gone.slots, gone.seqs, array_fill($2, array[gone.how_many]),
        gone.attempts, gone.created_at);
    buried := gone.how_many;
    last_seq := coalesce(gone.last_seq, after_seq);
end
$$;

-- Disables a subscription, unless its url or handshake has changed since the request that the receiver answered:
-- "generation" is from that time. The worker buries its pending deliveries, a slice at a time.
-- Called by the worker when a receiver answers 410. Writes: herald_internal.subscription.
create function herald_internal.disable(subscription_id bigint, reason text, generation integer) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    update herald_internal.subscription s
    set state = 'disabled', state_reason = $2, state_changed_at = clock_timestamp()
    where s.id = $1 and s.state <> 'disabled' and s.removed_at is null and s.generation = $3
$$;

-- Walks along a subscription's backlog, 5,000 deliveries at a time, until "passed" is its max_backlog; then buries what
-- comes after "after_seq", up to "slice" deliveries per call. Skips locked ones.
-- Called by the worker. Writes: herald.pending, herald_internal.dead_letter, herald_internal.config_change.
create function herald_internal.shed_backlog(
    subscription_id bigint, inout passed bigint, after_seq bigint, slice integer,
    out last_seq bigint, out buried bigint, out is_over boolean
)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    max_backlog bigint;
    room bigint;
    found bigint;
    seqs bigint[];
    gone record;
begin
    last_seq := after_seq;
    buried := 0;
    is_over := true;
    select s.max_backlog into max_backlog
    from herald_internal.subscription s
    where s.id = $1 and s.max_backlog > 0 and s.removed_at is null;
    if max_backlog is null then
        return;
    end if;
    room := least(max_backlog - passed, 5000);
    if room > 0 then
        select count(*), coalesce(max(p.event_seq), $3) into found, last_seq
        from (select q.event_seq from herald.pending q
              where q.subscription_id = $1 and q.event_seq > $3 order by q.event_seq limit room) p;
        passed := passed + found;
        is_over := found < room;
        return;
    end if;
    seqs := array(select q.event_seq from herald.pending q
                  where q.subscription_id = $1 and q.event_seq > $3 order by q.event_seq limit $4);
    is_over := cardinality(seqs) < slice;
    last_seq := coalesce(seqs[cardinality(seqs)], $3);
    with deleted as (
        delete from herald.pending p
        using (select q.event_seq from herald.pending q
               where q.subscription_id = $1 and q.event_seq = any (seqs) for update skip locked) over
        where p.subscription_id = $1 and p.event_seq = over.event_seq
        returning p.event_slot, p.event_seq, p.attempts, p.created_at
    )
    select count(*)::integer as how_many, array_agg(d.event_slot) as slots, array_agg(d.event_seq) as seqs,
           array_agg(d.attempts) as attempts, array_agg(d.created_at) as created_at
    into gone
    from deleted d;
    buried := gone.how_many;
    if gone.how_many > 0 then
        perform herald_internal.bury(
            array_fill($1, array[gone.how_many]), gone.slots, gone.seqs,
            array_fill('discarded'::text, array[gone.how_many]), gone.attempts, gone.created_at,
            format('more than max_backlog, which is %s', max_backlog));
        perform herald_internal.changed('pending', $1);
    end if;
end
$$;
