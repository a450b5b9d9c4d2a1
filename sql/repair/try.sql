-- Trying a subscription out: sends a test request, shows what would be sent, and verifies requests as a receiver does.

create function herald_internal._ping(
    subscription_id bigint, timeout_micros bigint, event_slot smallint, event_seq bigint, out outcome text,
    out status_code integer, out error_class text, out error text, out duration_ms double precision, out response text
)
    returns setof record
    language c
    as 'MODULE_PATHNAME', 'ping_wrapper';

-- Sends one test request through the worker, and shows what came back: of the type herald.ping, or of an event of the
-- log, with its own webhook-id. Nothing is recorded.
create function herald_internal._ping(subscription text, timeout interval default '30 s', event_id text default null)
    returns table (outcome text, status_code integer, error_class text, error text,
                   duration_ms double precision, response text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald_internal.subscription := herald_internal.find_subscription($1);
    event herald.event;
begin
    perform herald_internal.check_span('timeout', $2, '0', '1 day', 'Leave it out for 30 s.');
    if $3 is not null then
        event := herald_internal.find_event($3);
    end if;
    return query
    select p.outcome, p.status_code, p.error_class,
           case when p.error like 'cannot send: %' and herald_internal.tenants_of(herald_internal.caller()) is not null
               then 'cannot send: ask who runs the database' else p.error end,
           p.duration_ms, p.response
    from herald_internal._ping(entry.id, herald_internal.micros(coalesce($2, '30 s')), event.slot, event.seq) p;
end
$$;

create function herald_internal._preview(
    subscription_id bigint, event_slot smallint, event_seq bigint, show_secrets boolean,
    out method text, out url text, out headers json, out body text
)
    returns setof record
    language c
    as 'MODULE_PATHNAME', 'preview_wrapper';

-- Shows exactly what would be sent for this event to this subscription. Nothing is sent. Only superusers see the
-- signature and the values of the subscription's own headers.
create function herald_internal._preview(subscription text, event_id text)
    returns table (method text, url text, headers jsonb, body text)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entry constant herald_internal.subscription := herald_internal.find_subscription($1);
    event constant herald.event := herald_internal.find_event($2);
begin
    return query
    select p.method, p.url, p.headers::jsonb, p.body
    from herald_internal._preview(entry.id, event.slot, event.seq,
                         (select r.rolsuper from pg_roles r where r.oid = herald_internal.caller())) p;
end
$$;

create function herald_internal.max_headers_bytes() returns integer
    language c immutable
    as 'MODULE_PATHNAME', 'max_headers_bytes_wrapper';

create function herald_internal.verify(
    scheme text, secret text, headers text, body bytea, tolerance interval, method text, url text
)
    returns boolean
    language c volatile
    as 'MODULE_PATHNAME', 'verify_wrapper';

-- Returns whether a request is signed, for databases that receive webhooks. Headers are an object of strings, with
-- names in any case; the body is what arrived, byte for byte.
create function herald.verify(scheme text, secret text, headers jsonb, body bytea, tolerance interval default '300 s',
                              method text default 'POST', url text default '')
    returns boolean
    language plpgsql volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if scheme is null or secret is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'scheme and secret must not be null',
            hint = 'Run: select herald.verify(''standard'', ''whsec_...'', headers, body);';
    end if;
    if pg_column_size(headers) > herald_internal.max_headers_bytes() then
        raise exception using errcode = 'program_limit_exceeded', message = 'headers is too long to be verified',
            detail = format('It has %s bytes; allowed are %s.',
                            pg_column_size(headers), herald_internal.max_headers_bytes()),
            hint = 'Refuse such a request before you verify it.';
    end if;
    perform herald_internal.check_span('tolerance', tolerance, '0', '100 years', 'Leave it out for 300 s.');
    return herald_internal.verify(
        scheme, secret, headers::text, body, coalesce(tolerance, '300 s'), coalesce(method, 'POST'), coalesce(url, ''));
end
$$;

create function herald_internal.test_filter(filter text, event text)
    returns table (matched boolean, rule text, saw text)
    language c immutable strict
    as 'MODULE_PATHNAME', 'test_filter_wrapper';

-- Tries a filter on an event, given in the structured mode of CloudEvents: whether it passes, and if not, which rule
-- decided and which value it saw.
create function herald.test_filter(filter jsonb, event jsonb, out matched boolean, out rule text, out saw text)
    language sql immutable strict
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select t.matched, t.rule, t.saw from herald_internal.test_filter($1::text, $2::text) t
$$;
