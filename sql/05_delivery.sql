-- Deliveries: emit, burying, and the views that show what happened.

create function herald._append_event(
    event_type text, data text, source text, subject text, id text, key text, occurred_at timestamptz, priority text,
    tenant text, extensions text, dataschema text, out slot smallint, out seq bigint, out uid uuid
) returns setof record
    language c
    as 'MODULE_PATHNAME', 'append_event_wrapper';

-- An event as CloudEvents JSON, for people: dead letters and previews.
-- Called by _bury(). Reads nothing but its argument.
create function herald._event_json(event herald.event) returns json
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select json_strip_nulls(json_build_object(
        'specversion', '1.0', 'id', coalesce(event.id, event.uid::text), 'source', event.source, 'type', event.type,
        'subject', event.subject, 'time', event.time, 'partitionkey', event.key, 'tenant', event.tenant,
        'dataschema', event.dataschema, 'extensions', event.extensions, 'data', event.data))
$$;

-- Gives a delivery up: copies its event, its subscription's options and its attempts into herald.dead_letter.
-- Called by the worker and by discard(), unsubscribe(). Writes: herald.dead_letter.
create function herald._bury(subscription_id bigint, event_slot smallint, event_seq bigint, reason text,
                             attempts integer, created_at timestamptz) returns void
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into herald.dead_letter (subscription_id, subscription, event_seq, event_slot, event_id, type, event,
                                    subscription_config, attempt_log, reason, attempts, created_at, last_attempt_at,
                                    expires_at)
    select
        s.id, s.name, $3, $2, coalesce(e.id, e.uid::text, '?'), coalesce(e.type, '?'), herald._event_json(e),
        to_jsonb(s) - array['id', 'created_xid', 'created_snapshot', 'created_seq', 'removed_at'],
        coalesce(a.attempt_log, '[]'), $4, $5, $6, a.last_attempt_at, clock_timestamp() + s.dead_letter_retention
    from herald._subscription s
    left join lateral (
        select v.* from herald.event v where v.slot = $2 and v.seq = $3
        union all
        select h.* from herald.held_event h where h.seq = $3
        limit 1
    ) e on true
    cross join lateral (
        select
            max(t.at) as last_attempt_at,
            jsonb_agg(jsonb_build_object(
                'attempt', t.attempt, 'at', t.at, 'status_code', t.status_code, 'error_class', t.error_class,
                'error', t.error, 'duration_ms', t.duration_ms, 'response', left(t.response, 1000))
                order by t.at) as attempt_log
        from herald._attempt t
        where t.event_seq = $3 and t.subscription_id = $1
    ) a
    where s.id = $1
    on conflict (subscription_id, event_seq) do update
        set reason = excluded.reason, attempts = excluded.attempts, attempt_log = excluded.attempt_log,
            last_attempt_at = excluded.last_attempt_at, failed_at = excluded.failed_at, expires_at = excluded.expires_at
$$;

-- Disables a subscription and buries what is open for it as gone.
-- Called by the worker when a receiver answers 410. Writes: herald._subscription, herald.pending, herald.dead_letter.
create function herald._disable(subscription_id bigint, reason text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    update herald._subscription s
    set state = 'disabled', state_reason = _disable.reason, state_changed_at = clock_timestamp()
    where s.id = _disable.subscription_id and s.state <> 'disabled';
    if found then
        perform herald._changed('subscription');
    end if;
    perform herald._bury_pending(_disable.subscription_id, 'gone');
end
$$;

-- Buries every pending delivery of a subscription. Returns how many.
-- Called by _disable(), unsubscribe(). Writes: herald.pending, herald.dead_letter.
create function herald._bury_pending(subscription_id bigint, reason text, until timestamptz default 'infinity')
    returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from herald.pending p
        where p.subscription_id = $1 and p.created_at <= $3
        returning p.*
    ), buried as (
        select herald._bury(g.subscription_id, g.event_slot, g.event_seq, $2, g.attempts, g.created_at) from gone g
    )
    select count(*) from buried
$$;
